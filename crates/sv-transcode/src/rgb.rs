//! Pictures as red, green and blue, for what knows nothing else.

use sv_core::{PixelFormat, VideoFrame};

use crate::Error;

/// Eight bits of red, green and blue for each pixel, row after row, at a size that is no larger than the
/// picture's: each is the mean of the samples that it covers. Transfer and primaries stay what they are.
///
/// # Errors
/// [`Error::Invalid`] for pictures whose samples can't be read.
pub(crate) fn pixels(frame: &VideoFrame, (width, height): (u32, u32)) -> Result<Vec<u8>, Error> {
    let planes = Sampled::new(frame)?;
    let matrix = Matrix::of(frame);
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            let [luma, u, v] = planes.average(frame, (x, y), (width, height));
            rgb.extend_from_slice(&matrix.rgb(luma, u, v));
        }
    }
    Ok(rgb)
}

/// The planes of a picture as numbers from 0 to 1.
struct Sampled<'a> {
    planes: [sv_core::frame::Plane<'a>; 3],
    bytes: usize,
    scale: f32,
}

impl<'a> Sampled<'a> {
    fn new(frame: &'a VideoFrame) -> Result<Self, Error> {
        let (bytes, scale) = match frame.picture.format() {
            PixelFormat::Yuv420p8 => (1, 255.0),
            PixelFormat::Yuv420p10 => (2, 1023.0),
            _ => return Err(Error::Invalid("the picture is not planar 4:2:0: filter it first".into())),
        };
        let plane =
            |i| frame.picture.plane(i).ok_or_else(|| Error::Invalid("the picture can't be read".into()));
        Ok(Self { planes: [plane(0)?, plane(1)?, plane(2)?], bytes, scale })
    }

    fn at(&self, plane: usize, x: usize, y: usize) -> f32 {
        let p = &self.planes[plane];
        let at = y * p.stride + x * self.bytes;
        let value = match (self.bytes, p.data.get(at), p.data.get(at + 1)) {
            (1, Some(&value), _) => f32::from(value),
            (_, Some(&low), Some(&high)) => f32::from(u16::from_le_bytes([low, high])),
            _ => 0.0,
        };
        value / self.scale
    }

    /// The mean of all samples that one pixel of the target covers.
    fn average(&self, frame: &VideoFrame, (x, y): (u32, u32), (w, h): (u32, u32)) -> [f32; 3] {
        let span = |i: u32, of: u32, len: u32| {
            let (from, to) =
                (u64::from(i) * u64::from(len) / u64::from(of), (u64::from(i) + 1) * u64::from(len));
            (from as usize, to.div_ceil(u64::from(of)) as usize)
        };
        let (x, y) = (span(x, w, frame.width), span(y, h, frame.height));
        let mut out = [0.0; 3];
        for (plane, value) in out.iter_mut().enumerate() {
            let half = |(from, to): (usize, usize)| {
                if plane == 0 { (from, to) } else { (from / 2, to.div_ceil(2).max(from / 2 + 1)) }
            };
            let ((x0, x1), (y0, y1)) = (half(x), half(y));
            let mut sum = 0.0;
            for row in y0..y1 {
                sum += (x0..x1).map(|column| self.at(plane, column, row)).sum::<f32>();
            }
            *value = sum / ((x1 - x0) * (y1 - y0)) as f32;
        }
        out
    }
}

/// Y'CbCr to R'G'B' (ITU-R BT.601, BT.709 and BT.2020).
struct Matrix {
    red: f32,
    blue: f32,
    full_range: bool,
}

impl Matrix {
    fn of(frame: &VideoFrame) -> Self {
        let (red, blue) = match frame.color.matrix {
            5 | 6 => (0.299, 0.114),
            9 | 10 => (0.2627, 0.0593),
            // Nobody says: small pictures come from television, large ones don't.
            2 if frame.width < 1280 && frame.height < 720 => (0.299, 0.114),
            _ => (0.2126, 0.0722),
        };
        Self { red, blue, full_range: frame.color.full_range }
    }

    fn rgb(&self, y: f32, u: f32, v: f32) -> [u8; 3] {
        let (y, u, v) = match self.full_range {
            true => (y, u - 0.5, v - 0.5),
            false => ((y * 255.0 - 16.0) / 219.0, (u * 255.0 - 128.0) / 224.0, (v * 255.0 - 128.0) / 224.0),
        };
        let r = y + 2.0 * (1.0 - self.red) * v;
        let b = y + 2.0 * (1.0 - self.blue) * u;
        let g = (y - self.red * r - self.blue * b) / (1.0 - self.red - self.blue);
        [r, g, b].map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8)
    }
}
