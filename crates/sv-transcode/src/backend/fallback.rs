//! A device that may fail in the middle, and software that goes on without losing a picture.

use std::collections::VecDeque;

use sv_core::{Frame, Packet, Timestamp};

use super::Decode;
use crate::Error;

/// Packets that are kept for software to begin with: those since the last key frame whose pictures
/// are all out. A group that holds more than this can't be taken over.
const MOST_BYTES: usize = 256 << 20;

/// Opens the decoder that takes over.
type Open = Box<dyn Fn() -> Result<Box<dyn Decode>, Error> + Send>;

/// Decodes on a device, and in software from the picture on at which the device fails.
pub(crate) struct Fallback {
    work: Box<dyn Decode>,
    /// `None` once software is at work.
    software: Option<Open>,
    held: VecDeque<Packet>,
    bytes: usize,
    /// When the last picture that went out is shown.
    last: Option<Timestamp>,
    ended: bool,
    ready: VecDeque<Frame>,
}

impl Fallback {
    pub(crate) fn new(device: Box<dyn Decode>, software: Open) -> Self {
        let held = VecDeque::new();
        Self {
            work: device,
            software: Some(software),
            held,
            bytes: 0,
            last: None,
            ended: false,
            ready: VecDeque::new(),
        }
    }

    /// Keeps a packet as long as the device may fail before its picture is out.
    fn hold(&mut self, packet: &Packet) {
        if self.software.is_none() {
            return;
        }
        self.held.push_back(packet.clone());
        self.bytes = self.bytes.saturating_add(packet.data.len());
        // Pictures come in the order in which they are shown, so once one that is shown at a key
        // frame's time or later is out, whatever was before that key frame is out too.
        let shown = |p: &Packet| p.key && self.last.is_some_and(|last| p.pts <= last);
        if let Some(key) = self.held.iter().rposition(shown) {
            let gone: usize = self.held.drain(..key).map(|p| p.data.len()).sum();
            self.bytes = self.bytes.saturating_sub(gone);
        }
    }

    /// Goes on in software where the device failed, or passes its error on if that can't be.
    fn take_over<T: Default>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        let error = match result {
            Err(error) if !error.is_damage() => error,
            result => return result,
        };
        let Some(open) = self.software.take() else { return Err(error) };
        if self.bytes > MOST_BYTES {
            tracing::warn!("a group of pictures is too large to be decoded again in software");
            return Err(error);
        }
        tracing::warn!("software decodes from here on, because the device failed: {error}");
        self.work = open()?;
        let last = self.last;
        for packet in std::mem::take(&mut self.held) {
            // Damage was told when the device found it, or shows as a picture that never comes.
            match self.work.push(&packet) {
                Err(error) if !error.is_damage() => return Err(error),
                _ => self.drain(last)?,
            }
        }
        if self.ended {
            self.work.finish()?;
        }
        self.drain(last)?;
        Ok(T::default())
    }

    /// Takes the pictures that the device had not given.
    fn drain(&mut self, last: Option<Timestamp>) -> Result<(), Error> {
        loop {
            match self.work.pull() {
                Ok(Some(Frame::Video(frame))) if last.is_some_and(|last| frame.pts <= last) => {}
                Ok(Some(frame)) => self.ready.push_back(frame),
                Ok(None) => return Ok(()),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Decode for Fallback {
    fn push(&mut self, packet: &Packet) -> Result<(), Error> {
        self.hold(packet);
        let result = self.work.push(packet);
        self.take_over(result)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.ended = true;
        let result = self.work.finish();
        self.take_over(result)
    }

    fn pull(&mut self) -> Result<Option<Frame>, Error> {
        if let Some(frame) = self.ready.pop_front() {
            return Ok(Some(frame));
        }
        let pulled = self.work.pull();
        let pulled = self.take_over(pulled)?.or_else(|| self.ready.pop_front());
        if let Some(Frame::Video(frame)) = &pulled {
            self.last = self.last.max(Some(frame.pts));
        }
        Ok(pulled)
    }

    fn is_patched(&self) -> bool {
        self.work.is_patched()
    }
}

// openh264 takes no open groups, so it can't stand in for the software here.
#[cfg(all(test, feature = "ffmpeg"))]
mod tests {
    use super::*;
    use crate::{Backend, decode};

    /// Software that fails as a device does when its driver goes away: at the n-th call.
    struct Dying(Box<dyn Decode>, u32);

    impl Dying {
        fn call(&mut self) -> Result<(), Error> {
            self.1 =
                self.1.checked_sub(1).ok_or(Error::Library { library: "device", reason: "gone".into() })?;
            Ok(())
        }
    }

    impl Decode for Dying {
        fn push(&mut self, packet: &Packet) -> Result<(), Error> {
            self.call()?;
            self.0.push(packet)
        }
        fn finish(&mut self) -> Result<(), Error> {
            self.call()?;
            self.0.finish()
        }
        fn pull(&mut self) -> Result<Option<Frame>, Error> {
            self.call()?;
            self.0.pull()
        }
    }

    fn pictures(decoder: &mut dyn Decode, packets: &[Packet]) -> Vec<(i64, Vec<u8>)> {
        let mut out = Vec::new();
        let mut pull = |decoder: &mut dyn Decode| {
            while let Some(frame) = decoder.pull().unwrap() {
                let Frame::Video(frame) = frame else { continue };
                out.push((frame.pts.ticks(), frame.picture.plane(0).unwrap().data.to_vec()));
            }
        };
        for packet in packets {
            decoder.push(packet).unwrap();
            pull(decoder);
        }
        decoder.finish().unwrap();
        pull(decoder);
        out
    }

    #[test]
    fn whenever_the_device_dies_no_picture_is_lost_or_doubled() {
        use sv_core::{Item, Source as _};
        let Some(ffmpeg) = sv_testkit::tool("ffmpeg") else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made.mp4");
        // Groups of 12 pictures with B-frames, the second half open groups.
        let made = std::process::Command::new(ffmpeg)
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-c:v", "libx264"])
            .args(["-g", "12", "-bf", "3", "-x264-params", "open-gop=1", "-pix_fmt", "yuv420p"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        let file = std::sync::Arc::new(sv_core::FileAt::open(&path).unwrap());
        let mut demuxer = sv_container::mp4::Demuxer::open(file, sv_core::Limits::default()).unwrap();
        let track = demuxer.tracks()[0].clone();
        let mut packets = Vec::new();
        while let Some(item) = demuxer.next_item().unwrap() {
            if let Item::Packet(packet) = item {
                packets.push(packet);
            }
        }
        let options = decode::Options { backend: Backend::Software, ..decode::Options::default() };
        let open = {
            let track = track.clone();
            move || super::super::decoder(&track, &options)
        };
        let wanted = pictures(&mut *open().unwrap(), &packets);
        assert_eq!(wanted.len(), 50);
        // Each packet is a push and at least one pull: beyond all of them the device never dies.
        for calls in 0..200 {
            let mut decoder = Fallback::new(Box::new(Dying(open().unwrap(), calls)), Box::new(open.clone()));
            let got = pictures(&mut decoder, &packets);
            assert!(got == wanted, "after {calls} calls: {} pictures", got.len());
        }
    }
}
