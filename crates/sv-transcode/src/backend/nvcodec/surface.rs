//! From the decoder's semi-planar surface to the planes of a frame.

use sv_core::{PixelFormat, Planes};

/// A surface in host memory without padding: `rows` rows of luma, then half as many of chroma, in
/// which U and V take turns. Samples of more than 8 bits stand in the high bits of 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surface {
    /// Samples in a row; even.
    pub(super) columns: usize,
    /// Rows of luma; even.
    pub(super) rows: usize,
    /// Bits of a sample, 8 or 10.
    pub(super) depth: u8,
}

impl Surface {
    pub(super) fn row_bytes(&self) -> usize {
        self.columns * if self.depth > 8 { 2 } else { 1 }
    }

    pub(super) fn all_rows(&self) -> usize {
        self.rows + self.rows / 2
    }

    /// The first `width` columns and `height` rows as planes. Those of a picture with odd sides are
    /// one less than the surface has.
    pub(super) fn planes(&self, bytes: &[u8], width: usize, height: usize) -> Planes {
        let stride = self.row_bytes();
        let (luma, chroma) = bytes.split_at((stride * self.rows).min(bytes.len()));
        let luma = luma.chunks_exact(stride.max(1)).take(height);
        let chroma = chroma.chunks_exact(stride.max(1)).take(height.div_ceil(2));
        let (half, sample) = (width.div_ceil(2), stride / self.columns.max(1));
        let mut y = Vec::with_capacity(width * height * sample);
        let mut u = Vec::with_capacity(half * height.div_ceil(2) * sample);
        let mut v = Vec::with_capacity(u.capacity());
        let format = if self.depth > 8 {
            let down = 16 - u32::from(self.depth);
            let low = |[a, b]: [u8; 2]| (u16::from_le_bytes([a, b]) >> down).to_le_bytes();
            for row in luma {
                y.extend(row.as_chunks().0.iter().take(width).flat_map(|s| low(*s)));
            }
            for row in chroma {
                let pairs = || row.as_chunks().0.iter().take(half);
                u.extend(pairs().flat_map(|[a, b, _, _]| low([*a, *b])));
                v.extend(pairs().flat_map(|[_, _, a, b]| low([*a, *b])));
            }
            PixelFormat::Yuv420p10
        } else {
            for row in luma {
                y.extend_from_slice(row.get(..width).unwrap_or(row));
            }
            for row in chroma {
                let pairs = || row.as_chunks().0.iter().take(half);
                u.extend(pairs().map(|[u, _]| *u));
                v.extend(pairs().map(|[_, v]| *v));
            }
            PixelFormat::Yuv420p8
        };
        Planes { format, planes: vec![(y, width * sample), (u, half * sample), (v, half * sample)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chroma_is_taken_apart_and_odd_sides_are_cut() {
        let surface = Surface { columns: 4, rows: 4, depth: 8 };
        let bytes: Vec<u8> = (0..24).collect();
        let planes = surface.planes(&bytes, 3, 3);
        assert_eq!(planes.format, PixelFormat::Yuv420p8);
        assert_eq!(planes.planes[0], (vec![0, 1, 2, 4, 5, 6, 8, 9, 10], 3));
        assert_eq!(planes.planes[1], (vec![16, 18, 20, 22], 2));
        assert_eq!(planes.planes[2], (vec![17, 19, 21, 23], 2));
    }

    #[test]
    fn ten_bits_come_down() {
        let surface = Surface { columns: 2, rows: 2, depth: 10 };
        let bytes: Vec<u8> =
            [1u16, 2, 3, 1023, 512, 64].iter().flat_map(|s| (s << 6).to_le_bytes()).collect();
        let planes = surface.planes(&bytes, 2, 2);
        assert_eq!(planes.format, PixelFormat::Yuv420p10);
        assert_eq!(planes.planes[0], (vec![1, 0, 2, 0, 3, 0, 255, 3], 4));
        assert_eq!(planes.planes[1], (vec![0, 2], 2));
        assert_eq!(planes.planes[2], (vec![64, 0], 2));
        assert_eq!((surface.row_bytes(), surface.all_rows()), (4, 3));
    }
}
