//! VP8 ([RFC 6386](https://www.rfc-editor.org/rfc/rfc6386)): what the head of a frame says.
//! Its `vpcC` is [`vp9::Config`](crate::vp9::Config), which both codecs share.

use sv_core::ColorInfo;

use crate::vp9::Config;
use crate::{Reader, Result};

/// The head of a frame (9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Version, 0 to 3: which filters the decoder uses.
    pub version: u8,
    /// Whether it is a key frame.
    pub key: bool,
    /// Whether it is shown.
    pub shown: bool,
    /// Width and height in samples, which only key frames tell.
    pub size: Option<(u32, u32)>,
}

impl Header {
    /// Reads the head of a frame.
    ///
    /// # Errors
    /// When it is cut short, is of an unknown version, or is a key frame without its start code.
    pub fn parse(frame: &[u8]) -> Result<Self> {
        let mut r = Reader::new("the VP8 frame header", frame);
        let [tag, _, _] = r.array()?;
        let (key, version, shown) = (tag & 1 == 0, (tag >> 1) & 7, tag & 0x10 != 0);
        if version > 3 {
            return Err(r.invalid("its version is reserved"));
        }
        let mut size = None;
        if key {
            if r.array()? != [0x9D, 0x01, 0x2A] {
                return Err(r.invalid("there is no start code"));
            }
            // The two bits above each are how large a player should draw it, which none does.
            let mut side = || r.array().map(|bytes| u32::from(u16::from_le_bytes(bytes) & 0x3FFF));
            size = Some((side()?, side()?));
        }
        Ok(Self { version, key, shown, size })
    }

    /// What `vpcC` says of a stream of such frames. VP8 has no levels, and the record no word for that: 1 stands
    /// there, as other packagers have it.
    #[must_use]
    pub fn config(&self) -> Config {
        Config { profile: self.version, level: 10, bit_depth: 8, subsampling: 1, color: ColorInfo::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_of_the_specification() {
        // 9.1: version 1, shown, a first part of 5 bytes; 640 by 360, scaled by 1.
        let header = Header::parse(&[0xB2, 0, 0, 0x9D, 1, 0x2A, 0x80, 0x42, 0x68, 1]).unwrap();
        assert_eq!(header, Header { version: 1, key: true, shown: true, size: Some((640, 360)) });
        let between = Header::parse(&[0x01, 0, 0]).unwrap();
        assert_eq!(between, Header { version: 0, key: false, shown: false, size: None });
        assert!(Header::parse(&[0x10, 0, 0, 0x9D, 1, 0x2B, 0, 0, 0, 0]).is_err());
        assert!(Header::parse(&[0x08, 0, 0]).is_err());
    }
}
