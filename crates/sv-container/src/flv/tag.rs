//! What the body of a tag says.

use bytes::{Buf as _, Bytes};
use sv_codec::Reader;
use sv_core::Codec;

use crate::{Error, Result};

const PATH: &str = "FLV tag";

/// What a tag is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// What is said about both.
    Script,
}

impl Kind {
    /// From the number in a tag, which is also the type of RTMP's message.
    #[must_use]
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }

    /// The number in a tag.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }
}

/// What a body says about one track.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The track's number among those of its kind.
    pub track: u8,
    /// How it is coded; `None` where nobody has taught this crate.
    pub codec: Option<Codec>,
    /// Nanoseconds behind the tag's time.
    pub nanos: u32,
    /// What comes.
    pub payload: Payload,
}

/// What comes of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// The decoder's configuration, as the track's.
    Config(Bytes),
    /// An access unit.
    Frame {
        /// Whether decoding can start here.
        key: bool,
        /// How much later than decoded it is shown, in milliseconds.
        composition: i32,
        /// Its bytes, as packets have them.
        data: Bytes,
    },
    /// The track ends.
    End,
    /// Something that is neither: metadata, seeking, how loudspeakers are arranged.
    Other,
}

/// What the body of a tag of sound or pictures says, for one track after the other. A script says nothing here.
///
/// # Errors
/// Where it is cut short or breaks the specification: what came before it counts.
pub fn parse(kind: Kind, body: &Bytes) -> Messages {
    Messages { kind, form: Form::Begin, rest: body.clone() }
}

/// The messages of one body.
#[derive(Clone, Debug)]
pub struct Messages {
    kind: Kind,
    form: Form,
    rest: Bytes,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Begin,
    /// Of several tracks, what is common to those that follow.
    Tracks(Common, Multi),
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Common {
    packet: u8,
    key: bool,
    nanos: u32,
    fourcc: [u8; 4],
}

/// `AvMultitrackType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Multi {
    One,
    Many,
    ManyCodecs,
}

fn broken(problem: &'static str) -> Error {
    Error::Malformed { path: PATH, offset: 0, problem }
}

/// Takes `n` bytes off the front.
fn take(rest: &mut Bytes, n: usize) -> Result<Bytes> {
    if n > rest.len() {
        return Err(broken("it is cut short"));
    }
    Ok(rest.split_to(n))
}

fn byte(rest: &mut Bytes) -> Result<u8> {
    rest.try_get_u8().map_err(|_| broken("it is cut short"))
}

fn number(rest: &mut Bytes, bytes: usize) -> Result<u32> {
    Ok(take(rest, bytes)?.iter().fold(0u32, |n, b| n.wrapping_shl(8) | u32::from(*b)))
}

fn fourcc(rest: &mut Bytes) -> Result<[u8; 4]> {
    Ok(number(rest, 4)?.to_be_bytes())
}

/// A signed number of three bytes.
fn composition(rest: &mut Bytes) -> Result<i32> {
    let [a, b, c, _] = number(rest, 3)?.wrapping_shl(8).to_be_bytes();
    Ok(i32::from_be_bytes([a, b, c, 0]).wrapping_shr(8))
}

impl Iterator for Messages {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Result<Message>> {
        let out = match std::mem::replace(&mut self.form, Form::Done) {
            Form::Done => return None,
            Form::Begin => match self.kind {
                Kind::Script => return None,
                Kind::Audio => self.audio(),
                Kind::Video => self.video(),
            },
            Form::Tracks(..) if self.rest.is_empty() => return None,
            Form::Tracks(common, multi) => self.track(common, multi),
        };
        if out.is_err() {
            self.form = Form::Done;
        }
        out.transpose()
    }
}

impl Messages {
    /// The whole rest is of one track.
    fn last(&mut self, track: u8, codec: Option<Codec>, nanos: u32, payload: Payload) -> Option<Message> {
        self.rest.clear();
        Some(Message { track, codec, nanos, payload })
    }

    /// E.4.2.1.
    fn audio(&mut self) -> Result<Option<Message>> {
        let Some(first) = self.rest.first().copied() else { return Ok(None) };
        self.rest.advance(1);
        let data =
            |rest: &mut Bytes| Payload::Frame { key: true, composition: 0, data: std::mem::take(rest) };
        match first >> 4 {
            2 | 14 => {
                let payload = data(&mut self.rest);
                Ok(self.last(0, Some(Codec::Mp3), 0, payload))
            }
            9 => self.enhanced(first & 15, true),
            10 => {
                let payload = match byte(&mut self.rest)? {
                    0 => Payload::Config(std::mem::take(&mut self.rest)),
                    1 => data(&mut self.rest),
                    _ => Payload::Other,
                };
                Ok(self.last(0, Some(Codec::Aac), 0, payload))
            }
            _ => Ok(self.last(0, None, 0, Payload::Other)),
        }
    }

    /// E.4.3.1.
    fn video(&mut self) -> Result<Option<Message>> {
        let Some(first) = self.rest.first().copied() else { return Ok(None) };
        self.rest.advance(1);
        let frame = first.wrapping_shr(4) & 7;
        if first & 0x80 != 0 {
            let packet = first & 15;
            // Commands say something about seeking, and carry nothing.
            if packet != 4 && frame == 5 {
                return Ok(self.last(0, None, 0, Payload::Other));
            }
            return self.enhanced(packet, frame == 1);
        }
        let codec = match first & 15 {
            7 => Codec::H264,
            // Not in the specification: what encoders of HEVC did before there was another way.
            12 => Codec::Hevc,
            _ => return Ok(self.last(0, None, 0, Payload::Other)),
        };
        if frame == 5 {
            return Ok(self.last(0, Some(codec), 0, Payload::Other));
        }
        let kind = byte(&mut self.rest)?;
        let composition = composition(&mut self.rest)?;
        let payload = match kind {
            0 => Payload::Config(std::mem::take(&mut self.rest)),
            1 => Payload::Frame { key: frame == 1, composition, data: std::mem::take(&mut self.rest) },
            2 => Payload::End,
            _ => Payload::Other,
        };
        Ok(self.last(0, Some(codec), 0, payload))
    }

    /// `ExAudioTagHeader` and `ExVideoTagHeader`, behind their first byte.
    fn enhanced(&mut self, mut packet: u8, key: bool) -> Result<Option<Message>> {
        let (multitrack, modifier) = (if self.kind == Kind::Audio { 5 } else { 6 }, 7);
        let mut nanos = 0;
        while packet == modifier {
            let mut size = number(&mut self.rest, 1)?.saturating_add(1);
            if size == 256 {
                size = number(&mut self.rest, 2)?.saturating_add(1);
            }
            let mut data = take(&mut self.rest, usize::try_from(size).unwrap_or(usize::MAX))?;
            let next = byte(&mut self.rest)?;
            packet = next & 15;
            if next >> 4 == 0 && size >= 3 {
                nanos = number(&mut data, 3)?;
            }
        }
        if packet != multitrack {
            let fourcc = fourcc(&mut self.rest)?;
            let common = Common { packet, key, nanos, fourcc };
            let rest = std::mem::take(&mut self.rest);
            return self.payload(common, rest).map(|(codec, payload)| self.last(0, codec, nanos, payload));
        }
        let next = byte(&mut self.rest)?;
        let multi = match next >> 4 {
            0 => Multi::One,
            1 => Multi::Many,
            2 => Multi::ManyCodecs,
            _ => return Err(broken("it has tracks of an unknown arrangement")),
        };
        let fourcc = if multi == Multi::ManyCodecs { [0; 4] } else { fourcc(&mut self.rest)? };
        self.track(Common { packet: next & 15, key, nanos, fourcc }, multi)
    }

    fn track(&mut self, mut common: Common, multi: Multi) -> Result<Option<Message>> {
        if multi == Multi::ManyCodecs {
            common.fourcc = fourcc(&mut self.rest)?;
        }
        let track = byte(&mut self.rest)?;
        let size = match multi {
            Multi::One => self.rest.len(),
            _ => usize::try_from(number(&mut self.rest, 3)?).unwrap_or(usize::MAX),
        };
        let data = take(&mut self.rest, size)?;
        self.form = if multi == Multi::One { Form::Done } else { Form::Tracks(common, multi) };
        let (codec, payload) = self.payload(common, data)?;
        Ok(Some(Message { track, codec, nanos: common.nanos, payload }))
    }

    fn payload(&self, common: Common, mut data: Bytes) -> Result<(Option<Codec>, Payload)> {
        let Common { packet, key, fourcc, .. } = common;
        if self.kind == Kind::Audio {
            let codec = match &fourcc {
                b"mp4a" => Codec::Aac,
                b"Opus" => Codec::Opus,
                b"fLaC" => Codec::Flac,
                b"ac-3" => Codec::Ac3,
                b"ec-3" => Codec::Eac3,
                b".mp3" => Codec::Mp3,
                _ => return Ok((None, Payload::Other)),
            };
            let payload = match packet {
                0 => Payload::Config(sound_config(codec, data)?),
                1 => Payload::Frame { key: true, composition: 0, data },
                2 => Payload::End,
                _ => Payload::Other,
            };
            return Ok((Some(codec), payload));
        }
        let codec = match &fourcc {
            b"avc1" => Codec::H264,
            b"hvc1" => Codec::Hevc,
            b"av01" => Codec::Av1,
            b"vp08" => Codec::Vp8,
            b"vp09" => Codec::Vp9,
            _ => return Ok((None, Payload::Other)),
        };
        let payload = match packet {
            0 => Payload::Config(picture_config(codec, data)),
            1 => {
                let composed = matches!(codec, Codec::H264 | Codec::Hevc);
                let composition = if composed { composition(&mut data)? } else { 0 };
                Payload::Frame { key, composition, data }
            }
            2 => Payload::End,
            3 => Payload::Frame { key, composition: 0, data },
            _ => Payload::Other,
        };
        Ok((Some(codec), payload))
    }
}

/// Tags have the headers of Ogg and of FLAC's own files.
fn sound_config(codec: Codec, data: Bytes) -> Result<Bytes> {
    let syntax = Error::syntax(0);
    match codec {
        Codec::Opus if data.starts_with(b"OpusHead") => {
            sv_codec::opus::Config::parse_head(&data).map(|c| c.build()).map_err(syntax)
        }
        Codec::Flac if data.starts_with(b"fLaC") => Ok(data.slice(4..)),
        // Some leave the header of the block of STREAMINFO out.
        Codec::Flac if data.len() == 34 => Ok([&[0x80, 0, 0, 34], &*data].concat().into()),
        _ => Ok(data),
    }
}

/// Some have the version and flags of `vpcC` before its record, others don't.
fn picture_config(codec: Codec, data: Bytes) -> Bytes {
    let full = Reader::new(PATH, &data).u32() == Ok(0x0100_0000) && data.len() >= 12;
    if matches!(codec, Codec::Vp8 | Codec::Vp9) && full { data.slice(4..) } else { data }
}
