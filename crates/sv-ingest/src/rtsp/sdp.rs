//! What a session description says of media ([RFC 8866](https://www.rfc-editor.org/rfc/rfc8866)).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use sv_core::Codec;

use crate::{Error, Result};

/// M-lines at most.
const MOST_MEDIA: usize = 16;

/// One medium.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Media {
    /// By which URL it is controlled: whole, or behind the session's.
    pub control: String,
    /// The payload type of its packets.
    pub kind: u8,
    /// How it is coded.
    pub coding: Coding,
    /// Ticks of its clock in a second.
    pub rate: u32,
}

/// How a medium is coded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coding {
    /// H.264 ([RFC 6184](https://www.rfc-editor.org/rfc/rfc6184)) or HEVC ([RFC 7798](https://www.rfc-editor.org/rfc/rfc7798)),
    /// with the parameter sets that were said.
    Units {
        /// Which of both.
        codec: Codec,
        /// SPS, PPS and VPS, without start codes.
        sets: Vec<Bytes>,
        /// Whether numbers that tell the order of decoding stand in packets.
        ordered: bool,
    },
    /// AAC in access units ([RFC 3640](https://www.rfc-editor.org/rfc/rfc3640)).
    Aac {
        /// The AudioSpecificConfig.
        config: Bytes,
        /// Bits of a unit's length, of the number of the first, and of later ones.
        bits: [u8; 3],
    },
    /// Opus ([RFC 7587](https://www.rfc-editor.org/rfc/rfc7587)).
    Opus,
    /// Something else, by its name.
    Other(String),
}

/// What a description says of its media, in its order.
///
/// # Errors
/// When it is no text, or has too many of them.
pub fn parse(body: &[u8]) -> Result<Vec<Media>> {
    let wrong = |problem| Error::Malformed { what: "a session description", problem };
    let text = std::str::from_utf8(body).map_err(|_| wrong("it is no text in UTF-8"))?;
    let mut media: Vec<Media> = Vec::new();
    let mut session = true;
    for line in text.lines() {
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix("m=") {
            if media.len() >= MOST_MEDIA {
                return Err(wrong("it has too many m-lines"));
            }
            session = false;
            let kind = rest.split(' ').nth(3).and_then(|kind| kind.parse().ok()).unwrap_or(0);
            // What has a number of its own and no name is nothing that is taken here.
            media.push(Media {
                control: String::new(),
                kind,
                coding: Coding::Other(kind.to_string()),
                rate: 90_000,
            });
            continue;
        }
        let Some(last) = media.last_mut().filter(|_| !session) else { continue };
        if let Some(control) = line.strip_prefix("a=control:") {
            control.clone_into(&mut last.control);
        } else if let Some((kind, rest)) =
            line.strip_prefix("a=rtpmap:").and_then(|rest| rest.split_once(' '))
        {
            if kind.parse() == Ok(last.kind) {
                let mut parts = rest.trim().split('/');
                let name = parts.next().unwrap_or_default();
                last.rate = parts
                    .next()
                    .and_then(|rate| rate.parse().ok())
                    .filter(|rate| *rate > 0)
                    .unwrap_or(90_000);
                last.coding = coding(name);
            }
        } else if let Some((kind, rest)) = line.strip_prefix("a=fmtp:").and_then(|rest| rest.split_once(' '))
            && kind.parse() == Ok(last.kind)
        {
            rest.split(';')
                .filter_map(|pair| pair.trim().split_once('='))
                .for_each(|(name, value)| last.coding.say(name, value));
        }
    }
    Ok(media)
}

fn coding(name: &str) -> Coding {
    let units = |codec| Coding::Units { codec, sets: Vec::new(), ordered: false };
    match name.to_ascii_uppercase().as_str() {
        "H264" => units(Codec::H264),
        "H265" => units(Codec::Hevc),
        "MPEG4-GENERIC" => Coding::Aac { config: Bytes::new(), bits: [0; 3] },
        "OPUS" => Coding::Opus,
        _ => Coding::Other(name.to_owned()),
    }
}

impl Coding {
    /// A parameter of its format.
    fn say(&mut self, name: &str, value: &str) {
        match self {
            Self::Units { sets, ordered, .. } => match name.to_ascii_lowercase().as_str() {
                "sprop-parameter-sets" | "sprop-vps" | "sprop-sps" | "sprop-pps" => {
                    sets.extend(value.split(',').take(16).filter_map(base64));
                }
                "sprop-max-don-diff" => *ordered = value.trim() != "0",
                _ => {}
            },
            Self::Aac { config, bits: [size, first, later] } => {
                let number = || value.trim().parse().ok().filter(|bits| *bits <= 16);
                match name.to_ascii_lowercase().as_str() {
                    "config" => *config = hex(value.trim()).unwrap_or_default(),
                    "sizelength" => *size = number().unwrap_or(*size),
                    "indexlength" => *first = number().unwrap_or(*first),
                    "indexdeltalength" => *later = number().unwrap_or(*later),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn hex(text: &str) -> Option<Bytes> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

/// Base64, with its padding or without.
fn base64(text: &str) -> Option<Bytes> {
    STANDARD_NO_PAD.decode(text.trim().trim_end_matches('=')).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffmpeg_announces() {
        let text = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nt=0 0\r\na=tool:libavformat\r\n\
            m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
            a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LAHtkAoD2hAAADAAEAAAMAPA8WLkg=,aMuDyyA=; profile-level-id=42C01E\r\n\
            a=control:streamid=0\r\nm=audio 0 RTP/AVP 97\r\nb=AS:128\r\na=rtpmap:97 MPEG4-GENERIC/44100/2\r\n\
            a=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=1210\r\n\
            a=control:streamid=1\r\n";
        let media = parse(text.as_bytes()).unwrap();
        assert_eq!((media[0].control.as_str(), media[0].kind, media[0].rate), ("streamid=0", 96, 90_000));
        let Coding::Units { codec: Codec::H264, sets, ordered: false } = &media[0].coding else { panic!() };
        assert_eq!((sets.len(), sets[0][0], &sets[1][..]), (2, 0x67, &[0x68, 0xCB, 0x83, 0xCB, 0x20][..]));
        let config = Bytes::from_static(&[0x12, 0x10]);
        assert_eq!(media[1].coding, Coding::Aac { config, bits: [13, 3, 3] });
        assert_eq!(media[1].rate, 44_100);
        assert!(parse(&b"m=audio 0 RTP/AVP 0\r\n".repeat(17)).is_err());
    }
}
