//! Opens one of FFmpeg's libraries.

use libloading::Library;

use crate::Error;

/// The file of library `name` at major version `major`, as this system calls it.
fn file(name: &str, major: i32) -> String {
    if cfg!(windows) {
        format!("{name}-{major}.dll")
    } else if cfg!(target_vendor = "apple") {
        format!("lib{name}.{major}.dylib")
    } else {
        format!("lib{name}.so.{major}")
    }
}

/// Opens a library for as long as the program runs.
pub(super) fn open(name: &str, major: i32) -> Result<&'static Library, String> {
    let file = file(name, major);
    // SAFETY: FFmpeg's libraries do nothing when they are loaded; the name has its ABI version.
    let library = unsafe { Library::new(&file) };
    // Codecs leave threads and callbacks behind, so it is never closed.
    library.map(|library| &*Box::leak(Box::new(library))).map_err(|_| file)
}

/// The address of a function.
///
/// # Safety
/// `F` must be the type of the function of that name.
pub(super) unsafe fn symbol<F: Copy>(library: &'static Library, name: &str) -> Result<F, String> {
    // SAFETY: the caller's promise.
    unsafe { library.get::<F>(name.as_bytes()) }.map(|f| *f).map_err(|_| format!("{name} in it"))
}

/// What a caller hears when a library can't be used.
pub(super) fn absent(what: &str) -> Error {
    Error::Absent { file: what.to_owned() }
}
