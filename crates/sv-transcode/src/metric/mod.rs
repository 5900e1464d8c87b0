//! How near a picture is to its original: full-reference measures of luma.
//!
//! [`Xpsnr`] is a peak signal-to-noise ratio whose errors weigh less where eyes see less; [`vif()`]
//! is the information about the original that is left at four scales, [`adm()`] the detail; [`Judge`]
//! makes VMAF of them, with Netflix's model v0.6.1. SSIMULACRA2 (feature `ssimulacra2`) looks at colours too,
//! and is stricter about what is nearly as good as the original.

mod adm;
mod judge;
mod noise;
#[cfg(feature = "ssimulacra2")]
mod ssimulacra2;
mod vif;
mod xpsnr;

pub use adm::adm;
pub use judge::{Judge, Shown, Verdict};
pub use noise::{noise, without_noise};
#[cfg(feature = "ssimulacra2")]
pub use ssimulacra2::ssimulacra2;
pub use vif::vif;
pub use xpsnr::Xpsnr;

use sv_core::{PixelFormat, VideoFrame};

use crate::Error;

/// The luma of one picture, on the scale of 8 bits whatever its depth.
#[derive(Clone, Debug)]
pub struct Luma {
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Rows one after the other, without gaps.
    pub samples: Vec<f32>,
}

thread_local! {
    /// Memory for the next picture of this thread: pictures are large, and fresh memory is dear.
    static SPARE: std::cell::RefCell<Vec<Vec<f32>>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Buffers that a thread keeps at most.
const KEPT: usize = 16;

/// A plane of zeros.
fn plane(len: usize) -> Vec<f32> {
    let mut plane = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    plane.clear();
    plane.resize(len, 0.0);
    plane
}

/// Runs a loop with the widest registers that this processor has. The compiler fuses no multiplication with
/// an addition, so that the result is the same on all of them.
fn wide<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Gives a plane back for later.
fn recycle(plane: Vec<f32>) {
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < KEPT {
            spare.push(plane);
        }
    });
}

impl Drop for Luma {
    fn drop(&mut self) {
        recycle(std::mem::take(&mut self.samples));
    }
}

impl Luma {
    /// Reads a planar picture.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a picture that can't be read, or has fewer samples than its size says.
    pub fn of(frame: &VideoFrame) -> Result<Self, Error> {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let (bytes, scale) = match frame.picture.format() {
            PixelFormat::Yuv420p8 => (1, 1.0),
            PixelFormat::Yuv420p10 => (2, 0.25),
            _ => return Err(Error::Invalid("the picture is not planar 4:2:0: filter it first".into())),
        };
        let short = || Error::Invalid("the picture has fewer samples than its size says".into());
        let mut samples = plane(0);
        let plane = frame.picture.plane(0).ok_or_else(short)?;
        samples.reserve_exact(width * height);
        for y in 0..height {
            let row = plane.data.get(y * plane.stride..).and_then(|r| r.get(..width * bytes));
            let row = row.ok_or_else(short)?;
            match bytes {
                1 => samples.extend(row.iter().map(|&s| f32::from(s))),
                _ => samples
                    .extend(row.chunks_exact(2).map(|s| f32::from(u16::from_le_bytes([s[0], s[1]])) * scale)),
            }
        }
        Ok(Self { width, height, samples })
    }

    fn same_size(&self, other: &Self) -> Result<(), Error> {
        if (self.width, self.height) == (other.width, other.height) {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "pictures of {}x{} and {}x{} can't be compared: scale one of them first",
            self.width, self.height, other.width, other.height
        )))
    }
}
