//! A started encoder of the device, and the memory of its pictures and packets.

use sv_core::VideoFrame;

use super::super::surface::Surface;
use super::super::sys::Handle;
use super::failed;
use super::library::{Failure, Session};
use super::structs::{
    CreateInput, CreateOutput, Headers, InitParams, LockInput, LockOutput, Picture as Shot, Plain,
    PresetConfig,
};
use super::{settings, sys, upload};
use crate::Error;
use crate::backend::Picture;
use crate::encode;

/// More than headers can have.
const MOST_HEADERS: u32 = 1024;

/// A picture's memory on the device, and that of its packet.
struct Slot {
    input: Handle,
    output: Handle,
}

pub(super) struct Engine {
    session: Session,
    surface: Surface,
    slots: Vec<Slot>,
    ended: bool,
}

// SAFETY: as for the session, which all of the handles belong to.
unsafe impl Send for Engine {}

impl Engine {
    /// Starts an encoder in a session that is known to have the codec. Gives also for how many pictures it
    /// looks ahead.
    pub(super) fn start(
        session: Session,
        guid: sys::Guid,
        preset: sys::Guid,
        config: &encode::Video,
        picture: &Picture,
    ) -> Result<(Self, usize), String> {
        let (frame, rate) = (&picture.frame, picture.frame_rate);
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
        let (columns, rows) = (frame.width as usize, frame.height as usize);
        let surface = Surface { columns, rows, depth: picture.bit_depth };
        Ok((Self { session, surface, slots: Vec::new(), ended: false }, ahead))
    }

    /// The headers that stand before the first picture.
    pub(super) fn headers(&self) -> Result<Vec<u8>, String> {
        let (mut bytes, mut size) = (vec![0u8; MOST_HEADERS as usize], 0u32);
        let mut ask = Headers {
            version: sys::HEADERS_VERSION,
            room: MOST_HEADERS,
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

    /// Allocates memory for one more picture, and its packet.
    pub(super) fn add_slot(&mut self) -> Result<(), String> {
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

    fn slot(&self, at: usize) -> Result<&Slot, Error> {
        self.slots.get(at).ok_or_else(|| failed("it has no such picture"))
    }

    /// Encodes a picture by way of a slot that is free. Gives whether the packets of all pictures so far are
    /// there or on their way; else the encoder wants more pictures first.
    pub(super) fn encode(
        &self,
        at: usize,
        frame: &VideoFrame,
        timestamp: u64,
        key: bool,
    ) -> Result<bool, Error> {
        let Slot { input, output } = *self.slot(at)?;
        let pitch = self.put(frame, input)?;
        let shot = Shot {
            version: sys::PICTURE_VERSION,
            width: frame.width,
            height: frame.height,
            pitch,
            flags: if key { sys::PICTURE_KEY } else { 0 },
            timestamp,
            input,
            output,
            format: self.format(),
            structure: sys::STRUCTURE_FRAME,
            ..Shot::zero()
        };
        match self.submit(shot) {
            Ok(()) => Ok(true),
            Err(failure) if failure.status == sys::NEED_MORE_INPUT => Ok(false),
            Err(failure) => Err(failed(failure.text)),
        }
    }

    /// Says that no more pictures come.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let end = Shot { version: sys::PICTURE_VERSION, flags: sys::PICTURE_END, ..Shot::zero() };
        self.submit(end).map_err(|failure| failed(failure.text))
    }

    fn submit(&self, mut shot: Shot) -> Result<(), Failure> {
        let session = &self.session;
        // SAFETY: a started encoder; buffers of its own that nothing is locked in, or none for the end.
        session.call(session.functions.encode, "encode a picture", |f| unsafe {
            f(session.handle, &raw mut shot)
        })
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
        let filled = match pitch.checked_mul(self.surface.all_rows()).filter(|_| !lock.data.is_null()) {
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

    /// Waits for the packet of a slot's picture; gives its bytes and the picture's timestamp.
    pub(super) fn packet(&self, at: usize) -> Result<(Vec<u8>, u64), Error> {
        let (session, output) = (&self.session, self.slot(at)?.output);
        let mut lock = LockOutput { version: sys::LOCK_OUTPUT_VERSION, buffer: output, ..LockOutput::zero() };
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
            f(session.handle, output)
        });
        unlocked.map_err(|failure| failed(failure.text))?;
        Ok((bytes, lock.timestamp))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The driver wants to hear of the end before anything goes.
        if let Err(error) = self.end() {
            tracing::debug!("{error}");
        }
        let (session, functions) = (&self.session, self.session.functions);
        for slot in &self.slots {
            let all = [(slot.input, functions.destroy_input), (slot.output, functions.destroy_output)];
            for (handle, destroy) in all.into_iter().filter(|(handle, _)| !handle.is_null()) {
                // SAFETY: made in `add_slot`, destroyed once, and not locked.
                let gone = session.call(destroy, "free memory", |f| unsafe { f(session.handle, handle) });
                if let Err(failure) = gone {
                    tracing::warn!("{}", failure.text);
                }
            }
        }
    }
}
