//! The driver's encoder, loaded when first asked for, and sessions of it.

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use super::super::library::{Context, open_part};
use super::super::sys::Handle;
use super::structs::{CapsParam, Functions, OpenParams, Plain};
use super::sys::{self, Guid, Status};

const FILE: &str = if cfg!(windows) { "nvEncodeAPI64.dll" } else { "libnvidia-encode.so.1" };

/// The functions, or one sentence that says why there are none.
fn functions() -> Result<&'static Functions, String> {
    static FUNCTIONS: OnceLock<Result<Functions, String>> = OnceLock::new();
    FUNCTIONS.get_or_init(load).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Functions, String> {
    type Version = unsafe extern "system" fn(*mut u32) -> Status;
    type Create = unsafe extern "system" fn(*mut Functions) -> Status;
    if cfg!(not(target_pointer_width = "64")) {
        return Err("the NVIDIA driver's encoder is used by 64-bit builds only".into());
    }
    let library = open_part(FILE, "encoder")?;
    let old = |what: String| format!("the NVIDIA driver is too old to encode ({what}); 520 and later do");
    let lacks = |name: &str| old(format!("{FILE} lacks {name}"));
    let (most, create) = ("NvEncodeAPIGetMaxSupportedVersion", "NvEncodeAPICreateInstance");
    // SAFETY: the types are those of the public header, for the symbols of these names.
    let found =
        unsafe { (library.get::<Version>(most.as_bytes()), library.get::<Create>(create.as_bytes())) };
    let (version, create) = (found.0.map_err(|_| lacks(most))?, found.1.map_err(|_| lacks(create))?);
    let mut number = 0;
    // SAFETY: it writes a number.
    let status = unsafe { version(&raw mut number) };
    if status != sys::SUCCESS || number < sys::API_IN_DRIVER {
        return Err(old(format!("its interface has version {}.{}", number >> 4, number & 15)));
    }
    let mut functions = Functions { version: sys::FUNCTIONS_VERSION, ..Functions::zero() };
    // SAFETY: a table of the layout that its version says; it writes functions of the types in there.
    match unsafe { create(&raw mut functions) } {
        sys::SUCCESS => Ok(functions),
        status => Err(format!("the NVIDIA driver's encoder does not start ({})", name(status))),
    }
}

/// What a call gave, when it was not success.
pub(super) struct Failure {
    pub(super) status: Status,
    /// "can't do it (NAME: the driver's own words)".
    pub(super) text: String,
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.text
    }
}

/// The header's name of a status, without the beginning that all share.
pub(super) fn name(status: Status) -> String {
    const NAMES: [&str; 26] = [
        "SUCCESS",
        "NO_ENCODE_DEVICE",
        "UNSUPPORTED_DEVICE",
        "INVALID_ENCODERDEVICE",
        "INVALID_DEVICE",
        "DEVICE_NOT_EXIST",
        "INVALID_PTR",
        "INVALID_EVENT",
        "INVALID_PARAM",
        "INVALID_CALL",
        "OUT_OF_MEMORY",
        "ENCODER_NOT_INITIALIZED",
        "UNSUPPORTED_PARAM",
        "LOCK_BUSY",
        "NOT_ENOUGH_BUFFER",
        "INVALID_VERSION",
        "MAP_FAILED",
        "NEED_MORE_INPUT",
        "ENCODER_BUSY",
        "EVENT_NOT_REGISTERD",
        "GENERIC",
        "INCOMPATIBLE_CLIENT_KEY",
        "UNIMPLEMENTED",
        "RESOURCE_REGISTER_FAILED",
        "RESOURCE_NOT_REGISTERED",
        "RESOURCE_NOT_MAPPED",
    ];
    let name = usize::try_from(status).ok().and_then(|at| NAMES.get(at));
    name.map_or_else(|| format!("NVENC error {status}"), |name| format!("NV_ENC_ERR_{name}"))
}

/// An open session: one encoder, for pictures of one kind.
pub(super) struct Session {
    pub(super) context: Context,
    pub(super) functions: &'static Functions,
    pub(super) handle: Handle,
}

// SAFETY: a session belongs to no thread, and this value has the only way to it.
unsafe impl Send for Session {}

impl Session {
    /// A session on the first device, or one sentence that says why there is none.
    pub(super) fn open() -> Result<Self, String> {
        let context = Context::open()?;
        let functions = functions()?;
        let mut session = Self { context, functions, handle: std::ptr::null_mut() };
        let mut params = OpenParams {
            version: sys::OPEN_VERSION,
            device_type: sys::DEVICE_CUDA,
            device: session.context.handle,
            api: sys::API,
            ..OpenParams::zero()
        };
        let mut handle = std::ptr::null_mut();
        // SAFETY: filled parameters with a live context; it writes a handle, which `drop` gives back.
        let opened = session
            .call(functions.open, "open a session", |open| unsafe { open(&raw mut params, &raw mut handle) });
        let name = session.context.name();
        opened.map_err(|failure| match failure.status {
            sys::NO_ENCODE_DEVICE | sys::UNSUPPORTED_DEVICE => {
                format!("{name} has no encoder ({})", self::name(failure.status))
            }
            sys::OUT_OF_MEMORY | sys::INCOMPATIBLE_CLIENT_KEY => {
                format!("{name} has no encoder session left ({})", self::name(failure.status))
            }
            sys::INVALID_VERSION => format!("the NVIDIA driver is too old to encode on {name}"),
            _ => format!("{name} does not encode: {}", failure.text),
        })?;
        // The header wants a session that was refused destroyed too, but does not say that the handle is
        // good then; FFmpeg forgets it, and so do we.
        session.handle = handle;
        Ok(session)
    }

    /// Calls a function of the table, with the context current.
    pub(super) fn call<F>(
        &self,
        function: Option<F>,
        task: &str,
        call: impl FnOnce(F) -> Status,
    ) -> Result<(), Failure> {
        let failure = |status, why: String| Failure { status, text: format!("can't {task} ({why})") };
        let Some(function) = function else {
            return Err(failure(sys::INVALID_VERSION, "the NVIDIA driver lacks the function".into()));
        };
        let status = self.context.with(|| call(function)).map_err(|why| failure(sys::SUCCESS, why))?;
        match status {
            sys::SUCCESS => Ok(()),
            status => Err(failure(status, name(status) + &self.words())),
        }
    }

    /// What the driver says of the last error beside its status, if anything.
    fn words(&self) -> String {
        let Some(last) = self.functions.last_error.filter(|_| !self.handle.is_null()) else {
            return String::new();
        };
        // SAFETY: a live session; it gives a text that lasts until the next call, or null.
        let text = unsafe { last(self.handle).as_ref().map(|first| CStr::from_ptr(first)) };
        let text = text.map(CStr::to_string_lossy).unwrap_or_default();
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        if line.trim().is_empty() { line.trim().into() } else { format!(": {}", line.trim()) }
    }

    /// The codecs that it encodes.
    pub(super) fn codecs(&self) -> Result<Vec<Guid>, String> {
        let mut count = 0;
        // SAFETY: a live session; it writes a number.
        self.call(self.functions.guid_count, "count codecs", |f| unsafe { f(self.handle, &raw mut count) })?;
        list(count, |room, out, count| {
            // SAFETY: a live session, and room for as many as it is told.
            self.call(self.functions.guids, "list codecs", |f| unsafe { f(self.handle, out, room, count) })
        })
    }

    /// The profiles that it has for a codec.
    pub(super) fn profiles(&self, codec: Guid) -> Result<Vec<Guid>, String> {
        let mut count = 0;
        // SAFETY: a live session; it writes a number.
        self.call(self.functions.profile_count, "count profiles", |f| unsafe {
            f(self.handle, codec, &raw mut count)
        })?;
        list(count, |room, out, count| {
            // SAFETY: a live session, and room for as many as it is told.
            self.call(self.functions.profiles, "list profiles", |f| unsafe {
                f(self.handle, codec, out, room, count)
            })
        })
    }

    /// What it says of an ability.
    pub(super) fn cap(&self, codec: Guid, cap: u32) -> Result<c_int, String> {
        let (mut value, version) = (0, sys::CAPS_VERSION);
        let mut params = CapsParam { version, cap, ..CapsParam::zero() };
        // SAFETY: a live session and a filled question; it writes a number.
        self.call(self.functions.caps, "ask for an ability", |f| unsafe {
            f(self.handle, codec, &raw mut params, &raw mut value)
        })?;
        Ok(value)
    }
}

/// A list of `count` that the driver fills.
fn list(
    count: u32,
    fill: impl FnOnce(u32, *mut Guid, *mut u32) -> Result<(), Failure>,
) -> Result<Vec<Guid>, String> {
    // There are three codecs, with a dozen profiles at most.
    let room = count.min(64);
    let mut all = vec![Guid(0, 0, 0, [0; 8]); room as usize];
    let mut written = 0;
    fill(room, all.as_mut_ptr(), &raw mut written)?;
    all.truncate(written as usize);
    Ok(all)
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.handle.is_null() {
            return;
        }
        // SAFETY: made in `open`, destroyed once.
        let gone = self.call(self.functions.destroy, "close the session", |f| unsafe { f(self.handle) });
        if let Err(failure) = gone {
            tracing::warn!("{}", failure.text);
        }
    }
}
