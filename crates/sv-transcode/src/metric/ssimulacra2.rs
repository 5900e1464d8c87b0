//! SSIMULACRA2, by the crate `fast-ssim2`.

use fast_ssim2::{PixelDescriptor, PixelSlice};
use sv_core::VideoFrame;

use crate::{Error, rgb};

/// How near a picture is to its original, colours included: 100 is the same, 90 can't be told apart, 70 is
/// high quality, 50 medium, and very bad copies go below zero
/// ([what the scale means](https://github.com/cloudinary/ssimulacra2#how-to-use)).
///
/// # Errors
/// [`Error::Invalid`] for pictures of two sizes, of high dynamic range (map them first), or whose samples
/// can't be read.
pub fn ssimulacra2(original: &VideoFrame, copy: &VideoFrame) -> Result<f64, Error> {
    if (original.width, original.height) != (copy.width, copy.height) {
        return Err(Error::Invalid(
            "pictures of two sizes can't be compared: scale one of them first".into(),
        ));
    }
    if [original, copy].iter().any(|f| f.color.is_pq() || f.color.is_hlg()) {
        return Err(Error::Invalid("SSIMULACRA2 is for standard range: map the pictures first".into()));
    }
    let size = (original.width, original.height);
    let (original, copy) = (rgb::pixels(original, size)?, rgb::pixels(copy, size)?);
    let library = |reason: String| Error::Library { library: "fast-ssim2", reason };
    let slice = |data| {
        PixelSlice::new(data, size.0, size.1, size.0 as usize * 3, PixelDescriptor::RGB8_SRGB)
            .map_err(|e| library(e.to_string()))
    };
    fast_ssim2::compute_ssimulacra2(&slice(&original)?, &slice(&copy)?).map_err(|e| library(e.to_string()))
}
