//! Metadata of single pictures: read from packets, and led past decoders, filters and encoders, which
//! know nothing of it or lose it.

use std::collections::VecDeque;

use bytes::Bytes;
use sv_codec::{av1, hevc, nal};
use sv_core::color::DynamicMetadata;
use sv_core::{Codec, Packet, Timestamp, Track};

/// How the packets of a track carry metadata.
pub(crate) enum Reader {
    Hevc { length_size: u8 },
    Av1,
}

impl Reader {
    /// `None` for a track whose packets carry none.
    pub(crate) fn of(track: &Track) -> Option<Self> {
        match track.codec {
            Codec::Hevc => {
                let length_size = hevc::Config::parse(&track.config).map_or(4, |config| config.length_size);
                Some(Self::Hevc { length_size })
            }
            Codec::Av1 => Some(Self::Av1),
            _ => None,
        }
    }

    pub(crate) fn read(&self, packet: &Packet) -> DynamicMetadata {
        let mut out = DynamicMetadata::default();
        match self {
            Self::Hevc { length_size } => {
                let units = nal::units(&packet.data, *length_size).map_while(Result::ok).map(|u| u.data);
                out.hdr10_plus = hevc::sei::hdr10_plus(units);
            }
            Self::Av1 => {
                let units = av1::obus(&packet.data).map_while(Result::ok);
                out.hdr10_plus = units
                    .filter(|obu| obu.kind == av1::Obu::METADATA)
                    .find_map(|obu| av1::metadata::hdr10_plus(obu.payload))
                    // What HEVC can't carry is none.
                    .filter(|message| message.len() <= MOST_BYTES)
                    .map(Bytes::copy_from_slice);
            }
        }
        out
    }
}

/// Of one message.
const MOST_BYTES: usize = 4000;
/// Pictures that any stage holds back; what is older never came out.
const MOST_WAITING: usize = 512;

/// Metadata of the pictures that are inside a stage, by their times, which no stage changes.
#[derive(Default)]
pub(crate) struct Waiting(VecDeque<(Timestamp, DynamicMetadata)>);

impl Waiting {
    pub(crate) fn put(&mut self, at: Timestamp, metadata: DynamicMetadata) {
        if metadata.is_empty() {
            return;
        }
        if self.0.len() >= MOST_WAITING {
            self.0.pop_front();
        }
        self.0.push_back((at, metadata));
    }

    pub(crate) fn take(&mut self, at: Timestamp) -> DynamicMetadata {
        let found = self.0.iter().position(|(time, _)| *time == at);
        found.and_then(|index| self.0.remove(index)).map(|(_, metadata)| metadata).unwrap_or_default()
    }
}
