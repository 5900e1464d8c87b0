//! Metadata of single pictures: read from packets, and led past decoders, filters and encoders, which
//! know nothing of it or lose it.

use std::collections::VecDeque;

use bytes::Bytes;
use sv_codec::{av1, hevc, nal, t35};
use sv_core::color::DynamicMetadata;
use sv_core::{Codec, Packet, Timestamp, Track};

use crate::{Error, dolby};

/// How the packets of a track carry metadata.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    Hevc { length_size: u8 },
    Av1,
}

impl Reader {
    /// `None` for a track whose packets carry none.
    ///
    /// # Errors
    /// [`Error::Incapable`] for a track that says that only Dolby Vision knows its colours.
    pub(crate) fn of(track: &Track) -> Result<Option<Self>, Error> {
        let reader = match track.codec {
            Codec::Hevc => {
                let length_size = hevc::Config::parse(&track.config).map_or(4, |config| config.length_size);
                Self::Hevc { length_size }
            }
            Codec::Av1 => Self::Av1,
            _ => return Ok(None),
        };
        match track.video().and_then(|video| video.dolby_vision).filter(|d| dolby::is_incompatible(*d)) {
            Some(_) => Err(dolby::incompatible()),
            None => Ok(Some(reader)),
        }
    }

    /// # Errors
    /// [`Error::Incapable`] for a packet that says so.
    pub(crate) fn read(self, packet: &Packet) -> Result<DynamicMetadata, Error> {
        let mut out = DynamicMetadata::default();
        match self {
            Self::Hevc { length_size } => {
                let units = nal::units(&packet.data, length_size).map_while(Result::ok).map(|u| u.data);
                out.hdr10_plus = hevc::sei::hdr10_plus(units.clone());
                if let Some(rpu) = units.into_iter().find(|unit| hevc::unit_type(unit) == hevc::RPU) {
                    out.dolby_vision = dolby::hevc(rpu)?;
                }
            }
            Self::Av1 => {
                let units = av1::obus(&packet.data).map_while(Result::ok);
                for obu in units.filter(|obu| obu.kind == av1::Obu::METADATA) {
                    match av1::metadata::t35(obu.payload) {
                        Some(message) if dolby::is_av1(message) => dolby::av1(message)?,
                        // What HEVC can't carry is none.
                        Some(message) if t35::is_hdr10_plus(message) && message.len() <= MOST_BYTES => {
                            out.hdr10_plus = Some(Bytes::copy_from_slice(message));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(out)
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
