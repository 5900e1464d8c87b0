//! Packets in the form of MP4 to what the driver's parser reads.

use bytes::{Bytes, BytesMut};
use sv_codec::{av1, h264, hevc, nal};
use sv_core::{Codec, Packet, Track};

use crate::Error;

/// How the packets of a track become a stream.
pub(super) enum Form {
    /// A byte stream (annex B); the parameter sets with their start codes.
    Nal { length_size: u8, sets: Vec<Bytes> },
    /// As they are; what stands before the first and each key packet.
    Plain { before: Bytes },
}

impl Form {
    pub(super) fn of(track: &Track) -> Result<Self, Error> {
        let invalid = |error: sv_codec::Error| Error::Invalid(format!("track {}: {error}", track.id.0));
        Ok(match track.codec {
            Codec::H264 => {
                let config = h264::Config::parse(&track.config).map_err(invalid)?;
                let sets = config.sps.iter().chain(&config.pps).cloned().collect();
                Self::Nal { length_size: config.length_size, sets }
            }
            Codec::Hevc => {
                let config = hevc::Config::parse(&track.config).map_err(invalid)?;
                Self::Nal { length_size: config.length_size, sets: config.units().cloned().collect() }
            }
            Codec::Av1 => Self::Plain { before: av1::Config::parse(&track.config).map_err(invalid)?.obus },
            _ => Self::Plain { before: Bytes::new() },
        })
    }

    /// The packet for the parser. `lead` asks for the configuration in front of it: a parameter
    /// set of the packet's own comes behind and wins.
    pub(super) fn stream(&self, packet: &Packet, codec: Codec, lead: bool) -> Result<Bytes, Error> {
        let data = &packet.data;
        match self {
            Self::Nal { length_size, sets } => {
                let before = sets.iter().map(|set| &set[..]).filter(|_| lead);
                nal::to_annex_b(data, *length_size, before)
                    .map_err(|error| Error::Damaged { codec, reason: error.to_string() })
            }
            Self::Plain { before } if lead && !before.is_empty() => {
                let mut out = BytesMut::with_capacity(before.len() + data.len());
                out.extend_from_slice(before);
                out.extend_from_slice(data);
                Ok(out.freeze())
            }
            Self::Plain { .. } => Ok(data.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sv_core::{Duration, Timestamp, TrackId};

    fn packet(data: &'static [u8]) -> Packet {
        Packet {
            track: TrackId(1),
            pts: Timestamp::ZERO,
            dts: Timestamp::ZERO,
            duration: Duration::ZERO,
            key: true,
            data: Bytes::from_static(data),
            protection: None,
        }
    }

    #[test]
    fn lengths_become_start_codes() {
        let sets = vec![Bytes::from_static(&[0x67, 1]), Bytes::from_static(&[0x68, 2])];
        let form = Form::Nal { length_size: 2, sets };
        let packet = packet(&[0, 2, 0x65, 9, 0, 1, 0x06]);
        let lead = form.stream(&packet, Codec::H264, true).unwrap();
        let units: Vec<&[u8]> = nal::annex_b(&lead).map(|unit| unit.data).collect();
        assert_eq!(units, [&[0x67, 1][..], &[0x68, 2], &[0x65, 9], &[0x06]]);
        let rest = form.stream(&packet, Codec::H264, false).unwrap();
        assert_eq!(rest[..], [0, 0, 0, 1, 0x65, 9, 0, 0, 0, 1, 0x06]);
    }

    #[test]
    fn a_length_beyond_the_packet_is_damage() {
        let form = Form::Nal { length_size: 4, sets: Vec::new() };
        let error = form.stream(&packet(&[0, 0, 1, 0, 0x65]), Codec::H264, false).unwrap_err();
        assert!(error.is_damage(), "{error}");
    }

    #[test]
    fn units_of_av1_stay_as_they_are() {
        let form = Form::Plain { before: Bytes::from_static(&[10, 1, 7]) };
        assert_eq!(form.stream(&packet(&[50, 0]), Codec::Av1, true).unwrap()[..], [10, 1, 7, 50, 0]);
        assert_eq!(form.stream(&packet(&[50, 0]), Codec::Av1, false).unwrap()[..], [50, 0]);
    }
}
