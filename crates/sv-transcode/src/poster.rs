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
    let width = frame.width.min(max_width.max(16));
    let height = u64::from(frame.height) * u64::from(width) / u64::from(frame.width.max(1));
    let height = u32::try_from(height.max(1)).unwrap_or(u32::MAX);
    encode(&rgb::pixels(frame, (width, height))?, (width, height))
}

fn encode(rgb: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, Error> {
    const QUALITY: u8 = 82;
    let (Ok(w), Ok(h)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(Error::Invalid(format!("a JPEG can't be {width}x{height}")));
    };
    let mut out = Vec::new();
    jpeg_encoder::Encoder::new(&mut out, QUALITY)
        .encode(rgb, w, h, jpeg_encoder::ColorType::Rgb)
        .map_err(|error| Error::Library { library: "jpeg-encoder", reason: error.to_string() })?;
    Ok(out)
}

/// Many small pictures in one JPEG, row by row; places that nothing was put on are black.
#[derive(Debug)]
pub struct Sheet {
    size: (u32, u32),
    columns: u32,
    places: u32,
    taken: u32,
    /// RGB of all places.
    pixels: Vec<u8>,
}

impl Sheet {
    /// An empty sheet for pictures of one size.
    ///
    /// # Errors
    /// [`Error::Invalid`] for sheets that JPEG has no room for: more than 65535 samples wide or high, or none.
    pub fn new(size: (u32, u32), (columns, rows): (u32, u32)) -> Result<Self, Error> {
        let (width, height) = (size.0.saturating_mul(columns), size.1.saturating_mul(rows));
        let fits = |n: u32| (1..=u32::from(u16::MAX)).contains(&n);
        if !fits(width) || !fits(height) {
            return Err(Error::Invalid(format!("a JPEG can't be {width}x{height}")));
        }
        let pixels = vec![0; width as usize * height as usize * 3];
        Ok(Self { size, columns, places: columns * rows, taken: 0, pixels })
    }

    /// Whether every place is taken.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.taken >= self.places
    }

    /// Puts the picture, scaled to the size, on the next place.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a full sheet, and for pictures whose samples can't be read.
    pub fn add(&mut self, frame: &VideoFrame) -> Result<(), Error> {
        if self.is_full() {
            return Err(Error::Invalid("the sheet is full".into()));
        }
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let rgb = rgb::pixels(frame, self.size)?;
        let (column, row) = ((self.taken % self.columns) as usize, (self.taken / self.columns) as usize);
        let stride = width * self.columns as usize * 3;
        for (y, line) in rgb.chunks_exact(width * 3).enumerate() {
            let at = (row * height + y) * stride + column * width * 3;
            if let Some(to) = self.pixels.get_mut(at..at + line.len()) {
                to.copy_from_slice(line);
            }
        }
        self.taken += 1;
        Ok(())
    }

    /// The JPEG, and an empty sheet from here on.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn take(&mut self) -> Result<Vec<u8>, Error> {
        let rows = self.places / self.columns;
        let jpeg = encode(&self.pixels, (self.size.0 * self.columns, self.size.1 * rows))?;
        self.pixels.fill(0);
        self.taken = 0;
        Ok(jpeg)
    }
}
