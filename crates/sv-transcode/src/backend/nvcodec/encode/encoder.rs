//! Pictures in, packets out, in the same order.

use std::collections::VecDeque;

use bytes::Bytes;
use sv_core::{Codec, Duration, Packet, Timestamp, TrackId, VideoFrame};

use super::super::surface::Surface;
use super::super::sys::Handle;
use super::library::{Failure, Session};
use super::structs::{
    CreateInput, CreateOutput, Headers, InitParams, LockInput, LockOutput, Picture as Shot, Plain,
    PresetConfig,
};
use super::{settings, stream, sys, upload};
use crate::backend::{EncodeVideo, Picture};
use crate::{Error, cpu, encode};

/// Pictures that the device works on while the next ones are copied to it.
const BEHIND: usize = 4;
/// More than headers can have.
const MOST_HEADERS: usize = 1024;

fn failed(reason: impl Into<String>) -> Error {
    Error::Library { library: super::NAME, reason: reason.into() }
}

/// A picture's memory on the device, and that of its packet.
struct Slot {
    input: Handle,
    output: Handle,
}

/// A picture that the device has.
struct Inside {
    slot: usize,
    tick: i64,
    pts: Timestamp,
    duration: Duration,
    key: bool,
}

pub(super) struct Encoder {
    session: Session,
    codec: Codec,
    surface: Surface,
    config: Bytes,
    slots: Vec<Slot>,
    free: Vec<usize>,
    inside: VecDeque<Inside>,
    /// How many of those inside have a packet by now, or will have one without another picture.
    coded: usize,
    /// How many stay inside before a packet is waited for.
    behind: usize,
    ready: VecDeque<Packet>,
    tick: Option<i64>,
    ended: bool,
    _held: cpu::Held,
}

// SAFETY: as for the session, which all of the handles belong to.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Starts an encoder in a session that is known to have the codec.
    pub(super) fn start(
        session: Session,
        guid: sys::Guid,
        preset: sys::Guid,
        config: &encode::Video,
        picture: &Picture,
    ) -> Result<Self, String> {
        let (frame, rate) = (&picture.frame, picture.frame_rate);
        let surface =
            Surface { columns: frame.width as usize, rows: frame.height as usize, depth: picture.bit_depth };
        let functions = session.functions;
        let mut base = PresetConfig { version: sys::PRESET_VERSION, ..PresetConfig::zero() };
        base.config.version = sys::CONFIG_VERSION;
        // SAFETY: a live session, and a structure of the layout that its version says.
        session.call(functions.preset, "read a preset", |f| unsafe {
            f(session.handle, guid, preset, sys::TUNING_QUALITY, &raw mut base)
        })?;
        let looks = session.cap(guid, sys::CAP_LOOKAHEAD)? != 0;
        let ahead = settings::apply(&mut base.config, config, picture, looks);
        let mut init = InitParams {
            version: sys::INIT_VERSION,
            codec: guid,
            preset,
            width: frame.width,
            height: frame.height,
            aspect: [frame.width, frame.height],
            rate_num: rate.num(),
            rate_den: rate.den(),
            decides_types: 1,
            config: &raw mut base.config,
            tuning: sys::TUNING_QUALITY,
            ..InitParams::zero()
        };
        // SAFETY: a live session, and filled parameters that last for the call.
        session.call(functions.init, "start the encoder", |f| unsafe { f(session.handle, &raw mut init) })?;
        let mut encoder = Self {
            codec: config.codec,
            surface,
            config: Bytes::new(),
            slots: Vec::new(),
            free: Vec::new(),
            inside: VecDeque::new(),
            coded: 0,
            behind: BEHIND + ahead,
            ready: VecDeque::new(),
            tick: None,
            ended: false,
            session,
            _held: cpu::Held::now(),
        };
        // From here on `drop` cleans up.
        encoder.config = stream::record(config.codec, &encoder.headers()?)?;
        for at in 0..encoder.behind + 2 {
            encoder.add_slot()?;
            encoder.free.push(at);
        }
        Ok(encoder)
    }

    /// The headers that stand before the first picture.
    fn headers(&self) -> Result<Vec<u8>, String> {
        let (mut bytes, mut size) = (vec![0u8; MOST_HEADERS], 0u32);
        let mut ask = Headers {
            version: sys::HEADERS_VERSION,
            room: MOST_HEADERS as u32,
            buffer: bytes.as_mut_ptr(),
            size: &raw mut size,
            ..Headers::zero()
        };
        let session = &self.session;
        // SAFETY: a started encoder, and room for as many bytes as it is told.
        session.call(session.functions.headers, "give its headers", |f| unsafe {
            f(session.handle, &raw mut ask)
        })?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    fn add_slot(&mut self) -> Result<(), String> {
        let (session, functions) = (&self.session, self.session.functions);
        let mut input = CreateInput {
            version: sys::CREATE_INPUT_VERSION,
            width: self.surface.columns as u32,
            height: self.surface.rows as u32,
            format: self.format(),
            ..CreateInput::zero()
        };
        // SAFETY: a started encoder; it writes a handle, which `drop` gives back.
        session.call(functions.create_input, "allocate a picture", |f| unsafe {
            f(session.handle, &raw mut input)
        })?;
        self.slots.push(Slot { input: input.buffer, output: std::ptr::null_mut() });
        let mut output = CreateOutput { version: sys::CREATE_OUTPUT_VERSION, ..CreateOutput::zero() };
        // SAFETY: as above.
        session.call(functions.create_output, "allocate a packet", |f| unsafe {
            f(session.handle, &raw mut output)
        })?;
        if let Some(slot) = self.slots.last_mut() {
            slot.output = output.buffer;
        }
        Ok(())
    }

    fn format(&self) -> u32 {
        if self.surface.depth > 8 { sys::FORMAT_P010 } else { sys::FORMAT_NV12 }
    }

    /// Copies a picture to the device; gives the distance of its rows.
    fn put(&self, frame: &VideoFrame, input: Handle) -> Result<u32, Error> {
        let session = &self.session;
        let mut lock = LockInput { version: sys::LOCK_INPUT_VERSION, buffer: input, ..LockInput::zero() };
        // SAFETY: a started encoder and a buffer of its own that no picture is in; it writes where that lies.
        let locked = session.call(session.functions.lock_input, "reach a picture's memory", |f| unsafe {
            f(session.handle, &raw mut lock)
        });
        locked.map_err(|failure| failed(failure.text))?;
        let pitch = lock.pitch as usize;
        let needed = pitch.checked_mul(self.surface.all_rows());
        let filled = match needed.filter(|_| !lock.data.is_null()) {
            None => Err(failed("the driver gave no memory for a picture")),
            Some(len) => {
                // SAFETY: a locked buffer of one and a half times as many rows as the picture has, `pitch` bytes
                // each, which is nobody else's until it is unlocked.
                let memory = unsafe { std::slice::from_raw_parts_mut(lock.data, len) };
                upload::fill(frame, self.surface, memory, pitch)
            }
        };
        // SAFETY: locked above, unlocked once.
        let unlocked =
            session.call(session.functions.unlock_input, "let go of a picture's memory", |f| unsafe {
                f(session.handle, input)
            });
        filled.and(unlocked.map_err(|failure| failed(failure.text))).map(|()| lock.pitch)
    }

    /// Hands a picture over, or the end. Everything inside is coded when the driver asks for no more.
    fn submit(&mut self, mut shot: Shot) -> Result<(), Failure> {
        let session = &self.session;
        // SAFETY: a started encoder; buffers of its own that nothing is locked in, or none for the end.
        let result = session.call(session.functions.encode, "encode a picture", |f| unsafe {
            f(session.handle, &raw mut shot)
        });
        match result {
            Ok(()) => self.coded = self.inside.len(),
            Err(failure) if failure.status == sys::NEED_MORE_INPUT => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Waits for the packet of the first picture inside, if it is coded.
    fn take(&mut self) -> Result<(), Error> {
        let Some(inside) = self.inside.front().filter(|_| self.coded > 0) else { return Ok(()) };
        let Some(slot) = self.slots.get(inside.slot) else { return Ok(()) };
        let session = &self.session;
        let mut lock =
            LockOutput { version: sys::LOCK_OUTPUT_VERSION, buffer: slot.output, ..LockOutput::zero() };
        // SAFETY: a started encoder, and a buffer of its own that a packet is or will be in.
        let locked = session.call(session.functions.lock_output, "read a packet", |f| unsafe {
            f(session.handle, &raw mut lock)
        });
        locked.map_err(|failure| failed(failure.text))?;
        let bytes = match lock.data.is_null() {
            true => Vec::new(),
            // SAFETY: a locked buffer with as many bytes as the driver says, copied before it is unlocked.
            false => unsafe { std::slice::from_raw_parts(lock.data, lock.size as usize) }.to_vec(),
        };
        // SAFETY: locked above, unlocked once.
        let unlocked = session.call(session.functions.unlock_output, "let go of a packet", |f| unsafe {
            f(session.handle, slot.output)
        });
        unlocked.map_err(|failure| failed(failure.text))?;
        if lock.timestamp != inside.tick as u64 {
            return Err(failed("packets come in another order than pictures"));
        }
        let (data, key) = stream::packet(self.codec, bytes).map_err(failed)?;
        if inside.key && !key {
            return Err(failed("no key frame where one was asked for"));
        }
        self.ready.push_back(Packet {
            track: TrackId(0),
            pts: inside.pts,
            dts: inside.pts,
            duration: inside.duration,
            key,
            data,
            protection: None,
        });
        self.free.push(inside.slot);
        self.inside.pop_front();
        self.coded -= 1;
        Ok(())
    }
}

impl EncodeVideo for Encoder {
    fn config(&self) -> Bytes {
        self.config.clone()
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        if self.ended {
            return Err(Error::Invalid("a picture came behind the end".into()));
        }
        if self.free.is_empty() {
            self.take()?;
        }
        let Some(at) = self.free.pop() else {
            return Err(failed("the encoder holds back more pictures than it said"));
        };
        let Some(Slot { input, output }) = self.slots.get(at) else { return Ok(()) };
        let (input, output) = (*input, *output);
        let pitch = match self.put(frame, input) {
            Ok(pitch) => pitch,
            Err(error) => {
                self.free.push(at);
                return Err(error);
            }
        };
        let tick = self.tick.map_or(tick, |last| tick.max(last.saturating_add(1)));
        self.tick = Some(tick);
        let shot = Shot {
            version: sys::PICTURE_VERSION,
            width: frame.width,
            height: frame.height,
            pitch,
            flags: if key { sys::PICTURE_KEY } else { 0 },
            timestamp: tick as u64,
            input,
            output,
            format: self.format(),
            structure: sys::STRUCTURE_FRAME,
            ..Shot::zero()
        };
        self.inside.push_back(Inside { slot: at, tick, pts: frame.pts, duration: frame.duration, key });
        self.submit(shot).map_err(|failure| failed(failure.text))
    }

    fn finish(&mut self) -> Result<(), Error> {
        if !std::mem::replace(&mut self.ended, true) {
            let end = Shot { version: sys::PICTURE_VERSION, flags: sys::PICTURE_END, ..Shot::zero() };
            self.submit(end).map_err(|failure| failed(failure.text))?;
            self.coded = self.inside.len();
        }
        Ok(())
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        if self.ready.is_empty() && (self.ended || self.inside.len() > self.behind) {
            self.take()?;
        }
        Ok(self.ready.pop_front().map(|packet| Packet { track: id, ..packet }))
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // The driver wants to hear of the end before anything goes.
        if let Err(error) = self.finish() {
            tracing::debug!("{error}");
        }
        let (session, functions) = (&self.session, self.session.functions);
        for slot in &self.slots {
            // SAFETY: made in `add_slot`, destroyed once, and not locked.
            let gone = session.call(functions.destroy_input, "free a picture", |f| unsafe {
                f(session.handle, slot.input)
            });
            let gone = gone.and_then(|()| match slot.output.is_null() {
                true => Ok(()),
                // SAFETY: as above.
                false => session.call(functions.destroy_output, "free a packet", |f| unsafe {
                    f(session.handle, slot.output)
                }),
            });
            if let Err(failure) = gone {
                tracing::warn!("{}", failure.text);
            }
        }
    }
}
