//! Pictures of all directions.

use bytes::{BufMut as _, Bytes, BytesMut};

/// A picture of all directions (360° video), by Google's
/// [Spherical Video V2](https://github.com/google/spatial-media/blob/master/docs/spherical-video-v2-rfc.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spherical {
    /// How two eyes' pictures lie in it, as `st3d` counts: 0 for one eye, 1 for one above the other, 2
    /// for one beside the other.
    pub stereo: u8,
    /// What is in the box `sv3d`: the projection and the pose.
    pub projection: Bytes,
}

/// Where the viewer looks at first, in degrees of 16.16 fixed point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pose {
    /// Around the axis upwards, -180 to 180.
    pub yaw: i32,
    /// Around the axis to the right, -90 to 90.
    pub pitch: i32,
    /// Around the axis forwards, -180 to 180.
    pub roll: i32,
}

/// What a picture lacks at each side, as a share of the picture of the whole sphere in 0.32 fixed point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Above.
    pub top: u32,
    /// Below.
    pub bottom: u32,
    /// On the left.
    pub left: u32,
    /// On the right.
    pub right: u32,
}

impl Spherical {
    /// A picture whose columns are longitudes and whose rows are latitudes.
    #[must_use]
    pub fn equirectangular(stereo: u8, pose: Pose, bounds: Bounds) -> Self {
        let Bounds { top, bottom, left, right } = bounds;
        Self::of(stereo, pose, b"equi", &[top, bottom, left, right])
    }

    /// The six faces of a cube in two rows of three, without padding.
    #[must_use]
    pub fn cubemap(stereo: u8, pose: Pose) -> Self {
        Self::of(stereo, pose, b"cbmp", &[0, 0])
    }

    fn of(stereo: u8, pose: Pose, kind: &[u8; 4], numbers: &[u32]) -> Self {
        let projection = full(kind, numbers);
        let pose = full(b"prhd", &[pose.yaw, pose.pitch, pose.roll].map(i32::cast_unsigned));
        let mut out = BytesMut::new();
        // Nobody is named who made the metadata: a string of no length.
        out.put_slice(b"\0\0\0\x0dsvhd\0\0\0\0\0");
        let length = pose.len().saturating_add(projection.len()).saturating_add(8);
        out.put_u32(u32::try_from(length).unwrap_or(0));
        out.put_slice(b"proj");
        out.put_slice(&pose);
        out.put_slice(&projection);
        Self { stereo, projection: out.freeze() }
    }
}

/// A box with version and flags of zero, and numbers.
fn full(kind: &[u8; 4], numbers: &[u32]) -> BytesMut {
    let length = numbers.len().saturating_mul(4).saturating_add(12);
    let mut out = BytesMut::with_capacity(length);
    out.put_u32(u32::try_from(length).unwrap_or(0));
    out.put_slice(kind);
    out.put_u32(0);
    numbers.iter().for_each(|number| out.put_u32(*number));
    out
}
