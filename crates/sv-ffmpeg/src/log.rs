//! FFmpeg's messages go to `tracing`, never to the standard error stream.

use std::sync::Once;

use crate::Error;
use crate::ffi as ff;

static ONCE: Once = Once::new();

/// Loads what everything needs and routes FFmpeg's log. Every entry point of the crate calls it
/// first.
pub(crate) fn init() -> Result<(), Error> {
    ff::avutil()?;
    ff::avcodec()?;
    ONCE.call_once(|| {
        #[cfg(all(target_arch = "x86_64", not(windows)))]
        // SAFETY: the callback lives as long as the program and may be called from any thread.
        unsafe {
            ff::av_log_set_callback(Some(callback));
        }
        // A `va_list` can't be named portably; elsewhere the messages are dropped.
        #[cfg(not(all(target_arch = "x86_64", not(windows))))]
        // SAFETY: sets one integer.
        unsafe {
            ff::av_log_set_level(ff::AV_LOG_QUIET);
        }
    });
    Ok(())
}

#[cfg(all(target_arch = "x86_64", not(windows)))]
unsafe extern "C" fn callback(
    class: *mut std::ffi::c_void,
    level: i32,
    format: *const std::ffi::c_char,
    arguments: *mut ff::__va_list_tag,
) {
    // Anything below "verbose" would be formatted only to be thrown away.
    if level > ff::AV_LOG_VERBOSE || !tracing::enabled!(target: "ffmpeg", tracing::Level::ERROR) {
        return;
    }
    let mut line = [0u8; 512];
    let mut prefix = 1;
    // SAFETY: FFmpeg passes a format and its matching arguments; the buffer's length is given and
    // the result always ends with a zero.
    unsafe {
        ff::av_log_format_line2(
            class,
            level,
            format,
            arguments,
            line.as_mut_ptr().cast(),
            line.len() as i32,
            &raw mut prefix,
        );
    }
    let Ok(text) = std::ffi::CStr::from_bytes_until_nul(&line) else { return };
    let text = text.to_string_lossy();
    let text = text.trim_end();
    // FFmpeg calls "error" what a damaged packet causes; for us it is the caller's decision, told
    // by a `Result`, so the log says it one step lower.
    if level <= ff::AV_LOG_FATAL {
        tracing::error!(target: "ffmpeg", "{text}");
    } else if level <= ff::AV_LOG_ERROR {
        tracing::warn!(target: "ffmpeg", "{text}");
    } else if level <= ff::AV_LOG_WARNING {
        tracing::debug!(target: "ffmpeg", "{text}");
    } else {
        tracing::trace!(target: "ffmpeg", "{text}");
    }
}

/// Asks codec libraries that write to the standard error by themselves to be silent, unless the
/// environment says otherwise already. For the first line of `main`: it changes the environment, so
/// it does nothing where another thread runs already, or where that can't be told.
pub fn quiet() {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads == 1 && std::env::var_os("SVT_LOG").is_none() {
        // SAFETY: this is the only thread, so nobody reads the environment at the moment.
        unsafe { std::env::set_var("SVT_LOG", "1") };
    }
}
