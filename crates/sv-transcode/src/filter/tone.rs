//! Pictures of high dynamic range for screens of standard range.
//!
//! In linear light, the brightest of red, green and blue is brought down by a [`ToneCurve`] and the
//! other two by the same factor, which keeps hue and saturation; then what lies outside of BT.709
//! loses saturation, and keeps intensity and hue (`gamut`). The diffuse white of HDR,
//! 203 cd/m², is the white of the result, which is for a display of
//! [BT.1886](https://www.itu.int/rec/R-REC-BT.1886): gamma 2.4.
//!
//! All of that is computed once, for the nodes of a [`Table`]; pictures only read the table.
//!
//! A chroma sample is mapped with the mean luma of its four pixels, wherever exactly it is sited;
//! what it is sited at does not change.

mod color;
mod curve;
mod gamut;
mod table;

use std::sync::Arc;

use sv_core::{ColorInfo, HdrMetadata, PixelFormat, Planes, VideoFrame, frame::Plane};

use self::color::{BT709, BT2020, Matrix, P3, WHITE, hlg_light, inverse, pq_light, product, times, to_xyz};
use self::curve::Curve;
pub use self::curve::ToneCurve;
use self::gamut::Gamut;
use self::table::Table;
use crate::Error;

/// Maps 10-bit PQ or HLG pictures of one kind to BT.709.
pub(crate) struct Mapper {
    table: Table,
    bits: u8,
}

impl Mapper {
    /// For pictures of this colour, to `bits` (8 or 10) a sample.
    ///
    /// # Errors
    /// [`Error::Incapable`] for a matrix that is none of Y'CbCr with non-constant luminance.
    pub(crate) fn new(curve: ToneCurve, color: ColorInfo, hdr: HdrMetadata, bits: u8) -> Result<Self, Error> {
        let source = Source::new(color)?;
        let gamut = Gamut::new();
        let curve = Curve::new(curve, if color.is_hlg() { 1000.0 } else { peak(hdr) });
        let table = Table::of(|codes| {
            let light = source.light(codes);
            let brightest = light.into_iter().fold(0.0, f64::max);
            let factor = if brightest > 0.0 { curve.apply(brightest) / brightest } else { 0.0 };
            codes_709(gamut.fit(light.map(|l| l * factor / WHITE)))
        });
        Ok(Self { table, bits })
    }

    /// The picture in standard range.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not planar with 10 bits, a side is odd, or samples are missing.
    pub(crate) fn map(&self, frame: &VideoFrame) -> Result<VideoFrame, Error> {
        let format = if self.bits == 10 { PixelFormat::Yuv420p10 } else { PixelFormat::Yuv420p8 };
        let planes = if self.bits == 10 {
            self.planes(frame, u16::to_le_bytes)
        } else {
            self.planes(frame, |code| [code as u8])
        };
        let planes = planes.ok_or_else(|| {
            Error::Invalid("this is no whole picture of 10 bits in even rows and columns".into())
        })?;
        let picture = Arc::new(Planes { format, planes });
        Ok(VideoFrame { color: ColorInfo::BT709, hdr: HdrMetadata::default(), picture, ..frame.clone() })
    }

    fn planes<const N: usize>(
        &self,
        frame: &VideoFrame,
        bytes: impl Fn(u16) -> [u8; N],
    ) -> Option<Vec<(Vec<u8>, usize)>> {
        let (width, height) = (frame.width as usize, frame.height as usize);
        if frame.picture.format() != PixelFormat::Yuv420p10 || width % 2 != 0 || height % 2 != 0 {
            return None;
        }
        let [luma, blue, red] = [frame.picture.plane(0)?, frame.picture.plane(1)?, frame.picture.plane(2)?];
        // The last row being there, and rows apart, what is allocated below is no larger than the input.
        let _ = row(&luma, height.checked_sub(1)?, width)?;
        let (row_bytes, half_bytes) = (width * N, width / 2 * N);
        let mut out =
            [vec![0; row_bytes * height], vec![0; half_bytes * height / 2], vec![0; half_bytes * height / 2]];
        let [y_out, b_out, r_out] = &mut out;
        let bits = u32::from(self.bits);
        let rows = y_out
            .chunks_exact_mut(row_bytes * 2)
            .zip(b_out.chunks_exact_mut(half_bytes).zip(r_out.chunks_exact_mut(half_bytes)));
        for (index, (y_out, (b_out, r_out))) in rows.enumerate() {
            let chroma = row(&blue, index, width / 2)?.zip(row(&red, index, width / 2)?);
            let mut two = row(&luma, index * 2, width)?.zip(row(&luma, index * 2 + 1, width)?);
            let (upper_out, lower_out) = y_out.split_at_mut(row_bytes);
            let (upper_out, _) = upper_out.as_chunks_mut::<N>();
            let (lower_out, _) = lower_out.as_chunks_mut::<N>();
            let luma_out = upper_out.as_chunks_mut::<2>().0.iter_mut().zip(lower_out.as_chunks_mut::<2>().0);
            let chroma_out = b_out.as_chunks_mut::<N>().0.iter_mut().zip(r_out.as_chunks_mut::<N>().0);
            for (((cb, cr), (upper, lower)), (b_out, r_out)) in chroma.zip(luma_out).zip(chroma_out) {
                let [(a, b), (c, d)] = [two.next()?, two.next()?];
                let mean = (a + b + c + d + 2) / 4;
                let place = Table::place(cb, cr);
                *b_out = bytes(self.table.read::<1>(&place, mean, bits));
                *r_out = bytes(self.table.read::<2>(&place, mean, bits));
                let luma = |y| bytes(self.table.read::<0>(&place, y, bits));
                (*upper, *lower) = ([luma(a), luma(c)], [luma(b), luma(d)]);
            }
        }
        let [y, b, r] = out;
        Some(vec![(y, row_bytes), (b, half_bytes), (r, half_bytes)])
    }
}

/// A row's codes, none of which is above 10 bits.
fn row<'a>(plane: &Plane<'a>, index: usize, width: usize) -> Option<impl Iterator<Item = u16> + use<'a>> {
    if plane.stride < width * 2 {
        return None;
    }
    let row = plane.data.get(index.checked_mul(plane.stride)?..)?.get(..width * 2)?;
    Some(row.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair).min(1023)))
}

/// The brightest light of the source: what is known of the content and of the display that it was
/// made on, and otherwise 1000 cd/m². Nothing is darker than diffuse white: such numbers are wrong.
fn peak(hdr: HdrMetadata) -> f64 {
    let content = hdr.light.map(|l| f64::from(l.max_content)).filter(|l| *l > 0.0);
    let display = hdr.mastering.map(|m| f64::from(m.max_luminance) / 10_000.0).filter(|l| *l > 0.0);
    let peak = match (content, display) {
        (Some(content), Some(display)) => content.min(display),
        (known, other) => known.or(other).unwrap_or(1000.0),
    };
    peak.clamp(WHITE, 10_000.0)
}

/// What the source's codes mean.
struct Source {
    color: ColorInfo,
    to_rgb: Matrix,
    /// From linear light of its primaries.
    to_2020: Matrix,
}

impl Source {
    fn new(color: ColorInfo) -> Result<Self, Error> {
        // What is left open is BT.2020 here: it has a transfer function of HDR.
        let (kr, kb) = match color.matrix {
            2 | 9 => (0.2627, 0.0593),
            1 => (0.2126, 0.0722),
            5 | 6 => (0.299, 0.114),
            other => {
                return Err(Error::Incapable {
                    what: format!(
                        "HDR pictures with matrix {other} of H.273 can't be mapped to standard range"
                    ),
                    hint: "encode HEVC or AV1, which keep HDR".into(),
                });
            }
        };
        let primaries = match color.primaries {
            1 => BT709,
            11 | 12 => P3,
            _ => BT2020,
        };
        let to_2020 = product(&inverse(&to_xyz(&BT2020)), &to_xyz(&primaries));
        Ok(Self { color, to_rgb: inverse(&to_ycbcr(kr, kb)), to_2020 })
    }

    /// Linear light of BT.2020.
    fn light(&self, [y, cb, cr]: [f64; 3]) -> [f64; 3] {
        // BT.2100 table 9.
        let (black, range, chroma) =
            if self.color.full_range { (0.0, 1023.0, 1023.0) } else { (64.0, 876.0, 896.0) };
        let signal = times(&self.to_rgb, [(y - black) / range, (cb - 512.0) / chroma, (cr - 512.0) / chroma]);
        let signal = signal.map(|s| s.clamp(-1.0, 1.0));
        let light = if self.color.is_hlg() { hlg_light(signal) } else { signal.map(pq_light) };
        times(&self.to_2020, light)
    }
}

/// R'G'B' to Y'CbCr (H.273 §8.3, equations 38 to 40).
fn to_ycbcr(kr: f64, kb: f64) -> Matrix {
    let y = [kr, 1.0 - kr - kb, kb];
    let (b, r) = (2.0 * (1.0 - kb), 2.0 * (1.0 - kr));
    [y, [-y[0] / b, -y[1] / b, 0.5], [0.5, -y[1] / r, -y[2] / r]]
}

/// 10-bit codes of linear light between 0 and 1 of BT.709.
fn codes_709(light: [f64; 3]) -> [f64; 3] {
    let signal = light.map(|l| l.clamp(0.0, 1.0).powf(1.0 / 2.4));
    let [y, cb, cr] = times(&to_ycbcr(0.2126, 0.0722), signal);
    [64.0 + 876.0 * y, 512.0 + 896.0 * cb, 512.0 + 896.0 * cr]
}
