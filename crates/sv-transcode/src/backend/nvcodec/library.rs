//! The driver, loaded when first asked for, and one device of it.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;

use libloading::Library;

use super::sys::{
    Copy2d, DecodeCaps, DecodeCreateInfo, Handle, NO_DEVICE, ParserParams, ProcParams, SUCCESS, SourcePacket,
};

const CUDA: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
const VIDEO: &str = if cfg!(windows) { "nvcuvid.dll" } else { "libnvcuvid.so.1" };

/// A table of the functions of one library; all of them give a result code.
macro_rules! table {
    ($(#[$doc:meta])* $table:ident { $($name:ident: $symbol:literal ($($argument:ty),*);)* }) => {
        $(#[$doc])*
        pub(super) struct $table {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl $table {
            fn load(library: &'static Library, file: &str) -> Result<Self, String> {
                $(
                    // SAFETY: the type is that of the public header, for the symbol of this name.
                    let $name = unsafe { library.get($symbol.to_bytes_with_nul()) }
                        .map(|function| *function)
                        .map_err(|_| format!("the NVIDIA driver is too old ({file} lacks {})", $symbol.to_string_lossy()))?;
                )*
                Ok(Self { $($name),* })
            }
        }
    };
}

table! {
    /// Devices, contexts and copies.
    Cuda {
        init: c"cuInit" (c_uint);
        error_name: c"cuGetErrorName" (c_int, *mut *const c_char);
        device_count: c"cuDeviceGetCount" (*mut c_int);
        device: c"cuDeviceGet" (*mut c_int, c_int);
        device_name: c"cuDeviceGetName" (*mut c_char, c_int, c_int);
        retain: c"cuDevicePrimaryCtxRetain" (*mut Handle, c_int);
        release: c"cuDevicePrimaryCtxRelease" (c_int);
        push: c"cuCtxPushCurrent_v2" (Handle);
        pop: c"cuCtxPopCurrent_v2" (*mut Handle);
        copy: c"cuMemcpy2D_v2" (*const Copy2d);
        host_alloc: c"cuMemHostAlloc" (*mut *mut c_void, usize, c_uint);
        host_free: c"cuMemFreeHost" (*mut c_void);
    }
}

table! {
    /// The parser of bitstreams and the decoder.
    Video {
        caps: c"cuvidGetDecoderCaps" (*mut DecodeCaps);
        create_parser: c"cuvidCreateVideoParser" (*mut Handle, *mut ParserParams);
        parse: c"cuvidParseVideoData" (Handle, *mut SourcePacket);
        destroy_parser: c"cuvidDestroyVideoParser" (Handle);
        create_decoder: c"cuvidCreateDecoder" (*mut Handle, *mut DecodeCreateInfo);
        decode: c"cuvidDecodePicture" (Handle, *mut c_void);
        destroy_decoder: c"cuvidDestroyDecoder" (Handle);
        map: c"cuvidMapVideoFrame64" (Handle, c_int, *mut c_ulonglong, *mut c_uint, *mut ProcParams);
        unmap: c"cuvidUnmapVideoFrame64" (Handle, c_ulonglong);
    }
}

/// The part of the driver that everything needs.
pub(super) struct Driver {
    pub(super) cuda: Cuda,
}

/// The driver, or one sentence that says why there is none.
pub(super) fn driver() -> Result<&'static Driver, String> {
    static DRIVER: OnceLock<Result<Driver, String>> = OnceLock::new();
    DRIVER.get_or_init(Driver::load).as_ref().map_err(Clone::clone)
}

/// The decoder's part of it.
pub(super) fn video() -> Result<&'static Video, String> {
    static PART: OnceLock<Result<Video, String>> = OnceLock::new();
    let load = || Video::load(open_part(VIDEO, "decoder")?, VIDEO);
    PART.get_or_init(load).as_ref().map_err(Clone::clone)
}

impl Driver {
    fn load() -> Result<Self, String> {
        let absent = format!("the NVIDIA driver is not installed ({CUDA} can't be loaded)");
        let driver = Self { cuda: Cuda::load(open(CUDA).ok_or(absent)?, CUDA)? };
        // SAFETY: it may be called at any time; there are no flags.
        match unsafe { (driver.cuda.init)(0) } {
            SUCCESS => Ok(driver),
            NO_DEVICE => Err("there is no NVIDIA device".into()),
            code => Err(format!("the NVIDIA driver does not start ({})", driver.name_of(code))),
        }
    }

    fn name_of(&self, code: c_int) -> String {
        let mut name = std::ptr::null();
        // SAFETY: it writes a pointer to a static text, or leaves null.
        unsafe { (self.cuda.error_name)(code, &raw mut name) };
        if name.is_null() {
            return format!("error {code}");
        }
        // SAFETY: not null, so a static text that ends with a zero.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }

    /// An error as "it can't `task` (NAME)".
    pub(super) fn check(&self, code: c_int, task: &str) -> Result<(), String> {
        match code {
            SUCCESS => Ok(()),
            code => Err(format!("can't {task} ({})", self.name_of(code))),
        }
    }
}

/// Opens a part that a driver may lack.
pub(super) fn open_part(file: &str, name: &str) -> Result<&'static Library, String> {
    open(file).ok_or_else(|| {
        format!(
            "the NVIDIA driver is here without its {name} ({file} can't be loaded; a container needs the driver \
             capability `video`)"
        )
    })
}

/// Opens a library for as long as the program runs: the driver has threads of its own.
fn open(file: &str) -> Option<&'static Library> {
    // SAFETY: the driver's libraries ask nothing of who loads them.
    let library = unsafe { Library::new(file) }.ok()?;
    Some(Box::leak(Box::new(library)))
}

/// The first device, with the context that all users of it in this program share.
pub(super) struct Context {
    pub(super) driver: &'static Driver,
    device: c_int,
    pub(super) handle: Handle,
}

// SAFETY: a context belongs to no thread; each use makes it current where it is used.
unsafe impl Send for Context {}

// SAFETY: nothing in it changes, and the driver may be called from several threads at once.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn open() -> Result<Self, String> {
        let driver = driver()?;
        let (mut count, mut device, mut handle) = (0, 0, std::ptr::null_mut());
        // SAFETY: it writes a number.
        driver.check(unsafe { (driver.cuda.device_count)(&raw mut count) }, "count NVIDIA devices")?;
        if count < 1 {
            return Err("there is no NVIDIA device".into());
        }
        // SAFETY: it writes a number; device 0 is there.
        driver.check(unsafe { (driver.cuda.device)(&raw mut device, 0) }, "open the NVIDIA device")?;
        // SAFETY: it writes a handle, which `drop` gives back.
        let code = unsafe { (driver.cuda.retain)(&raw mut handle, device) };
        driver.check(code, "make a context on the NVIDIA device")?;
        Ok(Self { driver, device, handle })
    }

    /// The device's name.
    pub(super) fn name(&self) -> String {
        let mut text = [0u8; 128];
        // SAFETY: it writes at most as many bytes as it is told, the last of them zero.
        unsafe { (self.driver.cuda.device_name)(text.as_mut_ptr().cast(), 128, self.device) };
        CStr::from_bytes_until_nul(&text).unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Runs `work` with this context current on this thread.
    pub(super) fn with<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        struct Pop<'a>(&'a Driver);
        impl Drop for Pop<'_> {
            fn drop(&mut self) {
                let mut popped = std::ptr::null_mut();
                // SAFETY: takes back what was pushed below, on the same thread.
                unsafe { (self.0.cuda.pop)(&raw mut popped) };
            }
        }
        // SAFETY: a live context.
        let code = unsafe { (self.driver.cuda.push)(self.handle) };
        self.driver.check(code, "use the NVIDIA device")?;
        let _pop = Pop(self.driver);
        Ok(work())
    }

    /// What the device says of 4:2:0 pictures of a codec.
    pub(super) fn caps(&self, codec: c_int, depth: u8) -> Result<DecodeCaps, String> {
        let (video, mut caps) = (video()?, DecodeCaps::ask(codec, depth));
        // SAFETY: a filled question of the right layout, with the context current.
        let code = self.with(|| unsafe { (video.caps)(&raw mut caps) })?;
        self.driver.check(code, "ask the NVIDIA device what it decodes")?;
        Ok(caps)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once, released once.
        unsafe { (self.driver.cuda.release)(self.device) };
    }
}

/// Host memory that the device writes without a detour. Made and freed with the context current.
pub(super) struct Pinned {
    driver: &'static Driver,
    memory: *mut u8,
    len: usize,
}

impl Pinned {
    pub(super) fn new(driver: &'static Driver, len: usize) -> Result<Self, String> {
        let mut memory = std::ptr::null_mut();
        // SAFETY: it writes a pointer to `len` bytes.
        let code = unsafe { (driver.cuda.host_alloc)(&raw mut memory, len, 0) };
        driver.check(code, "allocate memory for pictures")?;
        let memory: *mut u8 = memory.cast();
        // SAFETY: `len` bytes that are ours; after this none is uninitialised.
        unsafe { memory.write_bytes(0, len) };
        Ok(Self { driver, memory, len })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: initialised, and only written through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.memory, self.len) }
    }

    /// Fills the memory with `rows` rows of `row_bytes` from the device, `pitch` apart there.
    pub(super) fn fill(
        &mut self,
        device: c_ulonglong,
        pitch: usize,
        row_bytes: usize,
        rows: usize,
    ) -> Result<(), String> {
        if row_bytes.checked_mul(rows).is_none_or(|size| size > self.len) || pitch < row_bytes {
            return Err("the NVIDIA driver gave a picture of another size".into());
        }
        let copy = Copy2d {
            source_x: 0,
            source_y: 0,
            source_type: super::sys::MEMORY_DEVICE,
            source_host: std::ptr::null(),
            source_device: device,
            source_array: 0,
            source_pitch: pitch,
            target_x: 0,
            target_y: 0,
            target_type: super::sys::MEMORY_HOST,
            target_host: self.memory.cast(),
            target_device: 0,
            target_array: 0,
            target_pitch: row_bytes,
            row_bytes,
            rows,
        };
        // SAFETY: the target was measured above; the source is a mapped surface of such rows.
        let code = unsafe { (self.driver.cuda.copy)(&raw const copy) };
        self.driver.check(code, "copy a picture from the NVIDIA device")
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed once.
        unsafe { (self.driver.cuda.host_free)(self.memory.cast()) };
    }
}
