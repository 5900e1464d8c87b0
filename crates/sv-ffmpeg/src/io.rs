//! FFmpeg's byte reader over ours.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::ffi as ff;
use sv_core::ReadAt;

use crate::error::libc_code::{EINVAL, EIO, ENOMEM};
use crate::error::{Error, check};

/// What FFmpeg reads at once. Small enough for memory, large enough to keep calls rare.
const BUFFER: usize = 64 << 10;

struct State {
    reader: Arc<dyn ReadAt>,
    position: u64,
    scratch: Vec<u8>,
    error: Option<std::io::Error>,
}

/// An `AVIOContext` that reads from a [`ReadAt`] and can't write.
pub(crate) struct Io {
    context: NonNull<ff::AVIOContext>,
    state: NonNull<State>,
}

// SAFETY: both pointers are owned by this value alone, the reader is Send + Sync, and all use goes
// through `&mut` of the demuxer that owns this.
unsafe impl Send for Io {}

impl Io {
    pub(crate) fn new(reader: Arc<dyn ReadAt>) -> Result<Self, Error> {
        // SAFETY: a plain allocation; its failure is checked below.
        let buffer = unsafe { ff::av_malloc(BUFFER) };
        if buffer.is_null() {
            check(-ENOMEM, || "allocate a read buffer".into())?;
        }
        let state =
            Box::into_raw(Box::new(State { reader, position: 0, scratch: vec![0; BUFFER], error: None }));
        // SAFETY: the context takes over the buffer; `state` outlives it, see `drop`.
        let context = unsafe {
            ff::avio_alloc_context(
                buffer.cast(),
                BUFFER as i32,
                0,
                state.cast(),
                Some(read),
                None,
                Some(seek),
            )
        };
        match (NonNull::new(context), NonNull::new(state)) {
            (Some(context), Some(state)) => Ok(Self { context, state }),
            _ => {
                // SAFETY: nobody else has taken over either allocation.
                unsafe {
                    ff::av_free(buffer);
                    drop(Box::from_raw(state));
                }
                Err(Error::call("allocate a reader", -ENOMEM))
            }
        }
    }

    pub(crate) fn context(&self) -> *mut ff::AVIOContext {
        self.context.as_ptr()
    }

    /// The reader's own error behind the last failed call, if it was one.
    pub(crate) fn take_error(&mut self) -> Option<std::io::Error> {
        // SAFETY: `state` is ours, and FFmpeg is not running while we hold `&mut self`.
        unsafe { self.state.as_mut() }.error.take()
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // SAFETY: the format context that used this is closed already (the demuxer's drop order);
        // FFmpeg may have replaced the buffer, so it is freed through the context.
        unsafe {
            ff::av_freep((&raw mut (*self.context.as_ptr()).buffer).cast());
            let mut context = self.context.as_ptr();
            ff::avio_context_free(&raw mut context);
            drop(Box::from_raw(self.state.as_ptr()));
        }
    }
}

unsafe extern "C" fn read(opaque: *mut c_void, buffer: *mut u8, size: i32) -> i32 {
    let Ok(size) = usize::try_from(size) else { return -EINVAL };
    // SAFETY: `opaque` is the `State` that `Io::new` gave, used by one thread at a time.
    let state = unsafe { &mut *opaque.cast::<State>() };
    // FFmpeg's memory is not initialised, and where nothing is read it must stay as it is: FFmpeg
    // goes back to what is in there. So we read into our own and copy what came.
    let size = size.min(state.scratch.len());
    let (position, reader) = (state.position, Arc::clone(&state.reader));
    let scratch = state.scratch.get_mut(..size).unwrap_or_default();
    // A reader that panics must not unwind through C.
    match catch_unwind(AssertUnwindSafe(|| reader.read_at(position, scratch))) {
        Ok(Ok(0)) => ff::AVERROR_EOF,
        Ok(Ok(n)) => {
            let n = n.min(size);
            // SAFETY: FFmpeg's buffer has room for what it asked for, and `n` is not more.
            unsafe { std::ptr::copy_nonoverlapping(state.scratch.as_ptr(), buffer, n) };
            state.position = state.position.saturating_add(n as u64);
            n as i32
        }
        Ok(Err(error)) => {
            state.error = Some(error);
            -EIO
        }
        Err(_) => {
            state.error = Some(std::io::Error::other("the reader panicked"));
            -EIO
        }
    }
}

unsafe extern "C" fn seek(opaque: *mut c_void, offset: i64, whence: i32) -> i64 {
    // SAFETY: as in `read`.
    let state = unsafe { &mut *opaque.cast::<State>() };
    let size = state.reader.size();
    // AVSEEK_FORCE may be or-ed in and means nothing to us.
    let target = match whence & !(ff::AVSEEK_FORCE) {
        w if w == ff::AVSEEK_SIZE => return i64::try_from(size).unwrap_or(i64::MAX),
        0 => u64::try_from(offset).ok(),
        1 => state.position.checked_add_signed(offset),
        2 => size.checked_add_signed(offset),
        _ => None,
    };
    match target.and_then(|t| i64::try_from(t).ok()) {
        Some(t) => {
            state.position = t.unsigned_abs();
            t
        }
        None => i64::from(-EINVAL),
    }
}
