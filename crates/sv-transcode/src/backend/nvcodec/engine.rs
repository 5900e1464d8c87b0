//! One decoder of the device, for pictures of one size and depth.

use std::ffi::{c_int, c_short, c_ulong, c_void};

use sv_core::{Codec, Planes};

use super::library::{self, Context, Driver, Pinned, Video};
use super::surface::Surface;
use super::sys::{
    CHROMA_420, CREATE_PREFER_ENGINE, DecodeCreateInfo, DisplayInfo, Handle, ProcParams, SURFACE_NV12,
    SURFACE_P016, ShortRect, VideoFormat,
};
use super::{cant, failed};
use crate::Error;

/// Pictures that may wait to be shown, beyond what the codec needs, so that the device decodes the
/// next ones while one is copied.
pub(super) const DISPLAY_DELAY: u32 = 2;

/// What a decoder is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    kind: c_int,
    coded: (u32, u32),
    /// The part that is shown, with even sides.
    area: ShortRect,
    surfaces: u8,
    surface: Surface,
    /// Of the pictures that come out.
    pub(super) width: u32,
    pub(super) height: u32,
}

/// A side rounded up to what the device takes.
fn even(side: u32) -> Option<c_short> {
    c_short::try_from(side.checked_next_multiple_of(2)?).ok()
}

impl Shape {
    /// Checks what the stream says of itself. `scale` is the size that the device shall make.
    pub(super) fn of(
        format: &VideoFormat,
        codec: Codec,
        scale: Option<(u32, u32)>,
        most_pixels: u64,
    ) -> Result<Self, Error> {
        let depth = format.luma_depth_minus_8.saturating_add(8);
        if format.chroma != CHROMA_420 || !matches!(depth, 8 | 10) {
            return Err(cant(format!("{codec} that is not 4:2:0 of 8 or 10 bits has no frame format here")));
        }
        let (w, h) = (format.coded_width, format.coded_height);
        let invalid = || Error::Damaged { codec, reason: format!("pictures of {w}x{h} can't be") };
        let [left, top, right, bottom] = format.display_area.map(|n| u32::try_from(n).unwrap_or(0));
        let (width, height) = (right.saturating_sub(left), bottom.saturating_sub(top));
        if format.luma_depth_minus_8 != format.chroma_depth_minus_8
            || (width == 0 || height == 0 || right > w || bottom > h)
            || u64::from(w) * u64::from(h) > most_pixels
        {
            return Err(invalid());
        }
        let side = |n: u32| even(n).ok_or_else(invalid);
        let area = ShortRect {
            left: c_short::try_from(left).map_err(|_| invalid())?,
            top: c_short::try_from(top).map_err(|_| invalid())?,
            right: side(width)?.checked_add_unsigned(left.try_into().unwrap_or(0)).ok_or_else(invalid)?,
            bottom: side(height)?.checked_add_unsigned(top.try_into().unwrap_or(0)).ok_or_else(invalid)?,
        };
        let (width, height) = scale.unwrap_or((width, height));
        let surface = Surface {
            columns: usize::try_from(side(width)?).unwrap_or(0),
            rows: usize::try_from(side(height)?).unwrap_or(0),
            depth,
        };
        let more = u8::try_from(DISPLAY_DELAY).unwrap_or(0) + 2;
        // What the parser asks for is what the codec and this size need, at least four.
        let surfaces = format.min_decode_surfaces.clamp(4, 32).saturating_add(more).min(32);
        Ok(Self { kind: format.codec, coded: (w, h), area, surfaces, surface, width, height })
    }

    /// How many pictures the parser may number.
    pub(super) fn surfaces(&self) -> u8 {
        self.surfaces
    }

    /// Whether pictures of both lie in memory alike, so that one may refer to the other.
    pub(super) fn same_size(&self, other: &Self) -> bool {
        (self.coded, self.surface.depth) == (other.coded, other.surface.depth)
    }

    fn create_info(&self) -> DecodeCreateInfo {
        let long = |n: usize| c_ulong::try_from(n).unwrap_or(0);
        let ten = self.surface.depth > 8;
        DecodeCreateInfo {
            width: self.coded.0.into(),
            height: self.coded.1.into(),
            max_width: self.coded.0.into(),
            max_height: self.coded.1.into(),
            decode_surfaces: self.surfaces.into(),
            codec: self.kind,
            chroma: CHROMA_420,
            flags: CREATE_PREFER_ENGINE,
            depth_minus_8: c_ulong::from(self.surface.depth) - 8,
            display_area: self.area,
            output_format: if ten { SURFACE_P016 } else { SURFACE_NV12 },
            target_width: long(self.surface.columns),
            target_height: long(self.surface.rows),
            // Each picture is copied before the next one is mapped.
            output_surfaces: 1,
            ..DecodeCreateInfo::default()
        }
    }
}

/// A decoder. Made, used and dropped with the context current.
pub(super) struct Engine {
    driver: &'static Driver,
    video: &'static Video,
    handle: Handle,
    pub(super) shape: Shape,
    memory: Pinned,
}

impl Engine {
    /// The context must be current.
    pub(super) fn open(context: &Context, codec: Codec, shape: Shape) -> Result<Self, Error> {
        let depth = shape.surface.depth;
        let caps = context.caps(shape.kind, depth).map_err(failed)?;
        let (w, h) = shape.coded;
        let blocks = w.div_ceil(16) * h.div_ceil(16);
        if caps.supported == 0 {
            return Err(cant(format!("{} does not decode {codec} 4:2:0 {depth} bit", context.name())));
        }
        let fits = (u32::from(caps.min_width)..=caps.max_width).contains(&w)
            && (u32::from(caps.min_height)..=caps.max_height).contains(&h)
            && blocks <= caps.max_blocks;
        if !fits {
            return Err(cant(format!("{} does not decode {codec} of {w}x{h}", context.name())));
        }
        let (driver, video) = (context.driver, library::video().map_err(failed)?);
        let surface = shape.surface;
        let memory = Pinned::new(driver, surface.row_bytes() * surface.all_rows()).map_err(failed)?;
        let (mut handle, mut info) = (std::ptr::null_mut(), shape.create_info());
        // SAFETY: a filled structure; it writes a handle, which `drop` gives back.
        let code = unsafe { (video.create_decoder)(&raw mut handle, &raw mut info) };
        driver.check(code, "make a decoder on the NVIDIA device").map_err(failed)?;
        Ok(Self { driver, video, handle, shape, memory })
    }

    /// Starts to decode a picture.
    ///
    /// # Safety
    /// `picture` is what the parser gave to its callback, which is still running.
    pub(super) unsafe fn decode(&mut self, picture: *mut c_void) -> Result<(), String> {
        // SAFETY: a live decoder, and the caller's promise.
        let code = unsafe { (self.video.decode)(self.handle, picture) };
        self.driver.check(code, "decode a picture")
    }

    /// Waits for a picture and copies it.
    pub(super) fn picture(&mut self, info: &DisplayInfo) -> Result<Planes, String> {
        let (mut surface, mut pitch) = (0, 0);
        let mut how = ProcParams {
            progressive_frame: info.progressive_frame,
            second_field: info.repeat_first_field.saturating_add(1),
            top_field_first: info.top_field_first,
            unpaired_field: (info.repeat_first_field < 0).into(),
            ..ProcParams::default()
        };
        // SAFETY: a live decoder; it checks the number of the picture and writes address and pitch.
        let code = unsafe {
            (self.video.map)(self.handle, info.picture, &raw mut surface, &raw mut pitch, &raw mut how)
        };
        self.driver.check(code, "reach a decoded picture")?;
        let form = self.shape.surface;
        let pitch = usize::try_from(pitch).unwrap_or(0);
        let copied = self.memory.fill(surface, pitch, form.row_bytes(), form.all_rows());
        // SAFETY: mapped above, unmapped once.
        let code = unsafe { (self.video.unmap)(self.handle, surface) };
        copied?;
        self.driver.check(code, "let go of a decoded picture")?;
        Ok(form.planes(self.memory.bytes(), self.shape.width as usize, self.shape.height as usize))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: made in `open`, destroyed once; no surface of it is mapped.
        unsafe { (self.video.destroy_decoder)(self.handle) };
    }
}
