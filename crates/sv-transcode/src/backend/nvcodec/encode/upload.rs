//! From the planes of a frame to what the encoder reads: the way back from `surface.rs`.

use sv_core::{PixelFormat, VideoFrame};

use super::super::surface::Surface;
use crate::Error;

/// Writes a picture as rows that begin `pitch` bytes apart: luma, then chroma, in which U and V take turns.
/// Samples of 10 bits stand in the high bits of 16.
pub(super) fn fill(frame: &VideoFrame, surface: Surface, to: &mut [u8], pitch: usize) -> Result<(), Error> {
    let wanted = if surface.depth > 8 { PixelFormat::Yuv420p10 } else { PixelFormat::Yuv420p8 };
    let size = (frame.width as usize, frame.height as usize);
    let (width, rows) = (surface.row_bytes(), surface.rows);
    let invalid =
        || Error::Invalid("the picture is not of the encoder's size and format, or lacks samples".into());
    let needed = pitch.checked_mul(surface.all_rows().saturating_sub(1)).and_then(|n| n.checked_add(width));
    if frame.picture.format() != wanted
        || size != (surface.columns, rows)
        || pitch < width
        || needed.is_none_or(|needed| to.len() < needed)
    {
        return Err(invalid());
    }
    let plane = |index: usize, width: usize, rows: usize| {
        let plane = frame.picture.plane(index)?;
        let needed = plane.stride.checked_mul(rows.checked_sub(1)?)?.checked_add(width)?;
        (plane.stride >= width && plane.data.len() >= needed).then(|| {
            let (data, stride) = (plane.data, plane.stride);
            (0..rows)
                .map(move |row| data.get(row * stride..).and_then(|d| d.get(..width)).unwrap_or_default())
        })
    };
    let (y, u, v) = (plane(0, width, rows), plane(1, width / 2, rows / 2), plane(2, width / 2, rows / 2));
    let (Some(y), Some(u), Some(v)) = (y, u, v) else { return Err(invalid()) };
    let (luma, chroma) = to.split_at_mut_checked(pitch * rows).ok_or_else(invalid)?;
    let ten = surface.depth > 8;
    let up = |sample: [u8; 2]| (u16::from_le_bytes(sample) << 6).to_le_bytes();
    for (to, from) in luma.chunks_mut(pitch).zip(y) {
        let Some(to) = to.get_mut(..width) else { return Err(invalid()) };
        if ten {
            let pairs = to.as_chunks_mut().0.iter_mut().zip(from.as_chunks().0);
            pairs.for_each(|(to, from)| *to = up(*from));
        } else {
            to.copy_from_slice(from);
        }
    }
    for (to, (u, v)) in chroma.chunks_mut(pitch).zip(u.zip(v)) {
        let Some(to) = to.get_mut(..width) else { return Err(invalid()) };
        if ten {
            let (u, v) = (u.as_chunks().0.iter(), v.as_chunks().0.iter());
            for (to, (u, v)) in to.as_chunks_mut().0.iter_mut().zip(u.zip(v)) {
                let ([a, b], [c, d]) = (up(*u), up(*v));
                *to = [a, b, c, d];
            }
        } else {
            let pairs = to.as_chunks_mut().0.iter_mut().zip(u.iter().zip(v));
            pairs.for_each(|(to, (u, v))| *to = [*u, *v]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sv_testkit::video::Pattern;

    use super::*;

    #[test]
    fn the_decoders_way_is_the_way_back() {
        for (format, depth) in [(PixelFormat::Yuv420p8, 8), (PixelFormat::Yuv420p10, 10)] {
            let mut pattern = Pattern::new(70, 66, sv_core::Ratio::ONE);
            pattern.format = format;
            let frame = pattern.frame(5);
            let surface = Surface { columns: 70, rows: 66, depth };
            let pitch = surface.row_bytes() + 58;
            // The last row need not be padded.
            let mut out = vec![0; pitch * (surface.all_rows() - 1) + surface.row_bytes()];
            fill(&frame, surface, &mut out, pitch).unwrap();
            let tight: Vec<u8> =
                out.chunks(pitch).flat_map(|row| &row[..surface.row_bytes()]).copied().collect();
            let planes = surface.planes(&tight, 70, 66);
            for (index, (plane, stride)) in planes.planes.iter().enumerate() {
                let wanted = frame.picture.plane(index).unwrap();
                assert_eq!(*stride, wanted.stride);
                assert_eq!(plane[..], wanted.data[..plane.len()], "plane {index} of {depth} bits");
            }
        }
    }

    #[test]
    fn other_pictures_are_refused() {
        let frame = Pattern::new(64, 64, sv_core::Ratio::ONE).frame(0);
        let surface = Surface { columns: 64, rows: 64, depth: 8 };
        let mut out = vec![0; 64 * 96];
        assert!(fill(&frame, surface, &mut out, 64).is_ok());
        assert!(fill(&frame, surface, &mut out, 63).is_err());
        assert!(fill(&frame, Surface { depth: 10, ..surface }, &mut out, 128).is_err());
        assert!(fill(&frame, Surface { rows: 66, ..surface }, &mut out, 64).is_err());
        assert!(fill(&frame, surface, &mut out[..64 * 10], 64).is_err());
    }
}
