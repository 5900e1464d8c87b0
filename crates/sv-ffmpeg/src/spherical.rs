//! What FFmpeg's demuxers say of pictures of all directions, of any container.

use std::mem::offset_of;

use crate::ffi as ff;
use sv_core::Spherical;
use sv_core::spherical::{Bounds, Pose};

/// Side data of a stream: a pointer, which may be null, and a length.
pub(crate) type Data = (*const u8, usize);

/// One 32-bit field of side data, as the number that it is: enums of newer versions have more values.
///
/// # Safety
/// The pointer is null or that many bytes are behind it.
unsafe fn field((data, size): Data, at: usize) -> Option<u32> {
    if data.is_null() || size < at.checked_add(4)? {
        return None;
    }
    // SAFETY: the four bytes are inside by the check above.
    Some(unsafe { data.add(at).cast::<u32>().read_unaligned() })
}

/// The projection with what is said of two eyes.
///
/// # Safety
/// Each is null or side data of the kinds "spherical mapping" and "stereo 3D", as long as it says.
pub(crate) unsafe fn of(mapping: Data, stereo: Data) -> Option<Spherical> {
    type Mapping = ff::AVSphericalMapping;
    const WHOLE: u32 = ff::AVSphericalProjection::AV_SPHERICAL_EQUIRECTANGULAR as u32;
    const PART: u32 = ff::AVSphericalProjection::AV_SPHERICAL_EQUIRECTANGULAR_TILE as u32;
    const CUBE: u32 = ff::AVSphericalProjection::AV_SPHERICAL_CUBEMAP as u32;
    // SAFETY: the caller's promise.
    let (number, eyes) = unsafe { (|at| field(mapping, at), eyes(stereo)) };
    let angle = |at| number(at).map(u32::cast_signed);
    let pose = Pose {
        yaw: angle(offset_of!(Mapping, yaw))?,
        pitch: angle(offset_of!(Mapping, pitch))?,
        roll: angle(offset_of!(Mapping, roll))?,
    };
    match number(offset_of!(Mapping, projection))? {
        WHOLE => Some(Spherical::equirectangular(eyes, pose, Bounds::default())),
        PART => {
            let bounds = Bounds {
                top: number(offset_of!(Mapping, bound_top))?,
                bottom: number(offset_of!(Mapping, bound_bottom))?,
                left: number(offset_of!(Mapping, bound_left))?,
                right: number(offset_of!(Mapping, bound_right))?,
            };
            Some(Spherical::equirectangular(eyes, pose, bounds))
        }
        // Padding is counted in samples, which are others in each rung.
        CUBE if number(offset_of!(Mapping, padding))? == 0 => Some(Spherical::cubemap(eyes, pose)),
        _ => None,
    }
}

/// As `st3d` counts. The right eye's picture first has no number there.
///
/// # Safety
/// As for [`of`].
unsafe fn eyes(stereo: Data) -> u8 {
    const TOP: u32 = ff::AVStereo3DType::AV_STEREO3D_TOPBOTTOM as u32;
    const SIDE: u32 = ff::AVStereo3DType::AV_STEREO3D_SIDEBYSIDE as u32;
    // SAFETY: the caller's promise.
    let (kind, flags) = unsafe {
        (
            field(stereo, offset_of!(ff::AVStereo3D, type_)),
            field(stereo, offset_of!(ff::AVStereo3D, flags)).unwrap_or(0),
        )
    };
    match kind {
        _ if flags & ff::AV_STEREO3D_FLAG_INVERT.unsigned_abs() != 0 => 0,
        Some(TOP) => 1,
        Some(SIDE) => 2,
        _ => 0,
    }
}
