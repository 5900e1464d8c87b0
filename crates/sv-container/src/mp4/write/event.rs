//! Boxes that stand in front of a fragment: timed events and the producer's clock.

use bytes::Bytes;

use super::boxes::Boxes;

/// An event message, version 1 (ISO/IEC 23009-1, 5.10.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emsg {
    /// The URN that says what `data` means.
    pub scheme: String,
    /// A value that the scheme defines; often empty.
    pub value: String,
    /// Ticks a second of the two times.
    pub timescale: u32,
    /// When, on the presentation's timeline.
    pub presentation_time: u64,
    /// How long; `u32::MAX` when nobody knows.
    pub duration: u32,
    /// Two messages of the same scheme, value and id are the same message.
    pub id: u32,
    /// The message.
    pub data: Bytes,
}

impl Emsg {
    /// The whole box.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut w = Boxes::with_capacity(self.capacity());
        self.write(&mut w);
        w.out.freeze()
    }

    pub(super) fn capacity(&self) -> usize {
        self.scheme.len().saturating_add(self.value.len()).saturating_add(self.data.len()).saturating_add(34)
    }

    pub(super) fn write(&self, w: &mut Boxes) {
        w.full(b"emsg", 1, 0, |w| {
            w.u32(self.timescale);
            w.u64(self.presentation_time);
            w.u32(self.duration);
            w.u32(self.id);
            w.cstr(&self.scheme);
            w.cstr(&self.value);
            w.bytes(&self.data);
        });
    }
}

/// Producer reference time (ISO/IEC 14496-12, 8.16.5): which wall-clock time a media time was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prft {
    /// The track.
    pub track: u32,
    /// Wall-clock time in NTP's format: seconds since 1900 and their 2^32nd parts.
    pub ntp: u64,
    /// The media time of the fragment's first packet, in the track's timescale.
    pub media_time: u64,
}

impl Prft {
    /// The whole box. Its flags say that the time is that of the encoder's input.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let mut w = Boxes::with_capacity(32);
        self.write(&mut w);
        w.out.freeze()
    }

    pub(super) fn write(&self, w: &mut Boxes) {
        w.full(b"prft", 1, 0, |w| {
            w.u32(self.track);
            w.u64(self.ntp);
            w.u64(self.media_time);
        });
    }
}
