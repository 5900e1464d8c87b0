//! Elementary streams of frames that carry their own length: all audio.

use bytes::Bytes;
use sv_codec::{aac, ac3, mpa};
use sv_core::Codec;

/// One frame found in a stream.
pub(super) struct Frame {
    /// Bytes before the payload that are not part of it (ADTS headers).
    pub(super) header: usize,
    /// Bytes in all.
    pub(super) len: usize,
    pub(super) samples: u32,
    pub(super) rate: u32,
    /// The track's configuration as this frame knows it.
    pub(super) config: Bytes,
}

/// Reads the frame at the start of `data`. `Err(true)` where more bytes are needed, `Err(false)`
/// where no frame begins; `last` when no more bytes will come.
pub(super) fn frame(codec: Codec, data: &[u8], last: bool) -> Result<Frame, bool> {
    if data.len() < 16 && !last {
        return Err(true);
    }
    let frame = match codec {
        Codec::Aac => adts(data),
        Codec::Ac3 | Codec::Eac3 => return dolby(codec, data, last),
        _ => layers(data),
    };
    let frame = frame.ok_or(false)?;
    if frame.len > data.len() { Err(!last) } else { Ok(frame) }
}

fn adts(data: &[u8]) -> Option<Frame> {
    let header = aac::adts::Header::parse(data).ok()?;
    Some(Frame {
        header: header.header_len,
        len: header.frame_len,
        samples: u32::from(header.config.frame_samples).saturating_mul(u32::from(header.blocks)),
        rate: header.config.sample_rate,
        config: header.config.build().unwrap_or_default(),
    })
}

fn layers(data: &[u8]) -> Option<Frame> {
    let header = mpa::Header::parse(data).ok()?;
    Some(Frame {
        header: 0,
        len: header.frame_len,
        samples: header.samples,
        rate: header.sample_rate,
        config: Bytes::new(),
    })
}

/// An AC-3 frame, or an E-AC-3 frame with the substreams that add to it.
fn dolby(codec: Codec, data: &[u8], last: bool) -> Result<Frame, bool> {
    let first = ac3::Header::parse(data).map_err(|_| false)?;
    let mut len = first.frame_len;
    if first.enhanced {
        while let Some(rest) = data.get(len..).filter(|rest| rest.len() >= 8) {
            match ac3::Header::parse(rest) {
                Ok(next) if !next.begins_unit() => len = len.saturating_add(next.frame_len),
                _ => break,
            }
        }
        // Whether the next frame belongs to this unit is not known before its header is there.
        if !last && data.len() < len.saturating_add(8) {
            return Err(true);
        }
    }
    let Some(unit) = data.get(..len) else {
        return Err(!last);
    };
    let config = if codec == Codec::Eac3 {
        ac3::build_dec3(unit).unwrap_or_default()
    } else {
        ac3::build_dac3(&first)
    };
    Ok(Frame { header: 0, len, samples: first.samples, rate: first.sample_rate, config })
}
