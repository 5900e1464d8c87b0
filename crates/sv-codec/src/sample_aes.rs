//! Which bytes HLS's sample encryption covers in transport streams and packed audio, and how such streams say what
//! they hold: [MPEG-2 Stream Encryption Format for HTTP Live
//! Streaming](https://developer.apple.com/library/archive/documentation/AudioVideo/Conceptual/HLS_Sample_Encryption/).
//!
//! Those who encrypt, write and read must agree on this, and it follows from the bitstream alone.

use sv_core::{Codec, Subsample};

use crate::{Result, ac3, h264, nal};

/// Bytes of a frame of sound that stay clear, without the header of ADTS, which is no part of the frame here.
const LEADER: usize = 16;
/// Bytes of a slice that stay clear, its header byte included.
const SLICE_LEADER: usize = 32;
/// Of a slice, one block of 16 bytes in so many bytes is encrypted.
const STRIDE: usize = 160;

/// Whether samples of this codec can be encrypted so.
#[must_use]
pub const fn supports(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::Aac | Codec::Ac3 | Codec::Eac3)
}

/// Whether blocks of this unit of H.264 are encrypted. If so, emulation prevention is applied once more to all of it,
/// when it is written to a byte stream.
#[must_use]
pub fn covers(unit: &[u8]) -> bool {
    matches!(h264::unit_type(unit), h264::SLICE | h264::IDR) && unit.len() > 48
}

/// The clear and encrypted runs of a sample as MP4 holds it. Each encrypted run begins with the initialisation vector.
/// Of pictures, one block in ten is encrypted, the first of each run being the first; of sound, all are; what is no
/// whole block stays clear.
///
/// # Errors
/// When units or frames do not fill the sample.
pub fn subsamples(codec: Codec, length_size: u8, sample: &[u8]) -> Result<Vec<Subsample>> {
    let mut runs = Runs::default();
    match codec {
        Codec::H264 => {
            for unit in nal::units(sample, length_size) {
                let unit = unit?.data;
                let whole = unit.len().saturating_add(usize::from(length_size));
                let body = if covers(unit) { unit.len().saturating_sub(SLICE_LEADER) } else { 0 };
                // A block that nothing follows stays clear.
                let last = if body.checked_rem(STRIDE) == Some(16) { 16 } else { 0 };
                let body = body.saturating_sub(last);
                runs.push(whole.saturating_sub(body).saturating_sub(last), body);
                runs.push(last, 0);
            }
        }
        // An access unit of E-AC-3 may have several frames.
        Codec::Ac3 | Codec::Eac3 => {
            let mut rest = sample;
            while let Ok(frame) = ac3::Header::parse(rest) {
                let length = frame.frame_len.min(rest.len()).max(1);
                runs.frame(length);
                rest = rest.get(length..).unwrap_or_default();
            }
            runs.push(rest.len(), 0);
        }
        _ => runs.frame(sample.len()),
    }
    Ok(runs.finish())
}

/// Collects runs into subsamples, whose clear part has only 16 bits.
#[derive(Default)]
struct Runs {
    out: Vec<Subsample>,
    clear: usize,
}

impl Runs {
    fn frame(&mut self, length: usize) {
        let leader = length.min(LEADER);
        self.push(leader, length.saturating_sub(leader));
    }

    fn push(&mut self, clear: usize, protected: usize) {
        self.clear = self.clear.saturating_add(clear);
        if protected > 0 {
            self.emit(u32::try_from(protected).unwrap_or(u32::MAX));
        }
    }

    fn emit(&mut self, protected: u32) {
        while let Some(rest) = self.clear.checked_sub(usize::from(u16::MAX)).filter(|rest| *rest > 0) {
            self.out.push(Subsample { clear: u16::MAX, protected: 0 });
            self.clear = rest;
        }
        self.out.push(Subsample { clear: u16::try_from(self.clear).unwrap_or(u16::MAX), protected });
        self.clear = 0;
    }

    fn finish(mut self) -> Vec<Subsample> {
        if self.clear > 0 {
            self.emit(0);
        }
        self.out
    }
}

/// `audio_setup_information`: what a decoder must know of encrypted sound. `first` is the beginning of a frame,
/// `config` as in MP4 (of AAC its AudioSpecificConfig, of E-AC-3 its `dec3`). `None` for other codecs.
#[must_use]
pub fn setup(codec: Codec, config: &[u8], first: &[u8]) -> Option<Vec<u8>> {
    let (kind, data) = match codec {
        // Which of three kinds of AAC: with band replication, and with parametric stereo, when it says so itself.
        Codec::Aac => match config.first()?.wrapping_shr(3) {
            5 => (b"zach", config),
            29 => (b"zacp", config),
            _ => (b"zaac", config),
        },
        Codec::Ac3 => (b"zac3", first.get(..10)?),
        Codec::Eac3 => (b"zec3", config),
        _ => return None,
    };
    let mut out = kind.to_vec();
    // No priming, version 1.
    out.extend_from_slice(&[0, 0, 1, u8::try_from(data.len()).ok()?]);
    out.extend_from_slice(data);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(kind: u8, length: usize) -> Vec<u8> {
        let mut unit = vec![7; length];
        unit[0] = kind;
        nal::length_prefixed([unit.as_slice()]).to_vec()
    }

    /// The bytes that the pseudo code of the specification encrypts.
    fn blocks(length: usize) -> usize {
        let (mut left, mut blocks) = (length - 32, 0);
        while left > 0 {
            if left > 16 {
                (left, blocks) = (left - 16, blocks + 1);
            }
            left -= left.min(144);
        }
        blocks
    }

    #[test]
    fn slices_have_the_blocks_of_the_pseudo_code() {
        for length in 49..700 {
            let runs = subsamples(Codec::H264, 4, &unit(0x65, length)).unwrap();
            let covered: usize = runs.iter().map(|r| usize::from(r.clear) + r.protected as usize).sum();
            assert_eq!(covered, length + 4);
            assert_eq!(runs[0].clear, 36);
            let protected = runs[0].protected as usize;
            let ours = protected / 160 + usize::from(protected % 160 >= 16);
            assert_eq!(ours, blocks(length), "{length}");
        }
        for clear in [unit(0x65, 48), unit(0x67, 300)] {
            assert!(subsamples(Codec::H264, 4, &clear).unwrap().iter().all(|r| r.protected == 0));
        }
    }

    #[test]
    fn sound_keeps_its_leader_clear() {
        let runs = subsamples(Codec::Aac, 0, &[1; 100]).unwrap();
        assert_eq!(runs, [Subsample { clear: 16, protected: 84 }]);
        assert_eq!(subsamples(Codec::Aac, 0, &[1; 9]).unwrap(), [Subsample { clear: 9, protected: 0 }]);
    }
}
