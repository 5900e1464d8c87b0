//! One thread at a time at a Vulkan device, where FFmpeg itself doesn't see to it.
//!
//! A device's queues may be used by one thread at a time (Vulkan, "Threading Behavior"). FFmpeg has had a lock for
//! that since 6.1; before, two filters on two threads crash in the driver, or wait for each other forever.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ffi as ff;

static TURN: Mutex<()> = Mutex::new(());

thread_local! {
    /// How often this thread has it.
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// A turn, until it is dropped. A thread may take further ones meanwhile.
pub(crate) struct Turn(Option<MutexGuard<'static, ()>>, bool);

/// Waits for a turn, if pictures of this format (an `AVPixelFormat`) need one.
pub(crate) fn take(format: i32) -> Turn {
    if cfg!(ffmpeg_6_1) || format != ff::AVPixelFormat::AV_PIX_FMT_VULKAN as i32 {
        return Turn(None, false);
    }
    let held = HELD.get();
    HELD.set(held + 1);
    let lock = || TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Turn((held == 0).then(lock), true)
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.1 {
            HELD.set(HELD.get().saturating_sub(1));
        }
        self.0 = None;
    }
}
