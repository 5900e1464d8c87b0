//! Still pictures for people to choose by.

use sv_core::VideoFrame;

use crate::{Error, rgb};

/// A JPEG of the picture, no wider than `max_width` samples and never enlarged.
///
/// High dynamic range is not mapped: give it frames behind a filter that has done so.
///
/// # Errors
/// [`Error::Invalid`] for pictures whose samples can't be read, or larger than JPEG allows.
pub fn jpeg(frame: &VideoFrame, max_width: u32) -> Result<Vec<u8>, Error> {
    const QUALITY: u8 = 82;
    let width = frame.width.min(max_width.max(16));
    let height = u64::from(frame.height) * u64::from(width) / u64::from(frame.width.max(1));
    let height = u32::try_from(height.max(1)).unwrap_or(u32::MAX);
    let (Ok(w), Ok(h)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(Error::Invalid(format!("a JPEG can't be {width}x{height}")));
    };
    let rgb = rgb::pixels(frame, (width, height))?;
    let mut out = Vec::new();
    jpeg_encoder::Encoder::new(&mut out, QUALITY)
        .encode(&rgb, w, h, jpeg_encoder::ColorType::Rgb)
        .map_err(|error| Error::Library { library: "jpeg-encoder", reason: error.to_string() })?;
    Ok(out)
}
