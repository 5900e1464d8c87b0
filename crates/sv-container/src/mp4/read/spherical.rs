//! Pictures of all directions: Google's
//! [Spherical Video V2](https://github.com/google/spatial-media/blob/master/docs/spherical-video-v2-rfc.md)
//! in boxes, and V1 as XML, of which the usual case is understood.

use bytes::Bytes;
use sv_core::Spherical;

use super::atom::Atom;

/// A projection that is larger (a mesh may be) is left out.
const LARGEST: usize = 64 << 10;

/// The name of the box that holds V1's XML.
const V1: [u8; 16] =
    [0xff, 0xcc, 0x82, 0x63, 0xf8, 0x55, 0x4a, 0x93, 0x88, 0x14, 0x58, 0x7a, 0x02, 0x52, 0x1f, 0xdd];

/// Puts `st3d` and `sv3d` together.
pub(super) fn v2(stereo: Option<&Bytes>, projection: Option<&Bytes>) -> Option<Spherical> {
    let stereo = stereo.and_then(|body| body.get(4)).copied().unwrap_or(0);
    let projection = projection.filter(|body| (8..=LARGEST).contains(&body.len()))?;
    Some(Spherical { stereo, projection: projection.clone() })
}

/// What the XML of a track says, if it is an equirectangular picture of everything.
pub(super) fn v1(trak: &Atom) -> Option<Spherical> {
    let xml = trak.children(0).map_while(Result::ok).find_map(|child| {
        let text =
            child.body.get(V1.len()..).filter(|_| &child.kind == b"uuid" && child.body.starts_with(&V1));
        text.filter(|text| text.len() <= LARGEST).map(|text| String::from_utf8_lossy(text).into_owned())
    })?;
    let value = |tag: &str| {
        let (_, rest) = xml.split_once(&format!("<GSpherical:{tag}>"))?;
        Some(rest.split_once('<')?.0.trim().to_ascii_lowercase())
    };
    // A cropped panorama has bounds that would have to be worked out: better none than wrong ones.
    if value("Spherical")? != "true"
        || value("ProjectionType").is_some_and(|kind| kind != "equirectangular")
        || value("CroppedAreaLeftPixels").is_some()
    {
        return None;
    }
    let stereo = match value("StereoMode").as_deref() {
        Some("top-bottom") => 1,
        Some("left-right") => 2,
        _ => 0,
    };
    // svhd with an empty name; proj with a pose of zero and bounds of zero.
    let mut projection = b"\0\0\0\x0dsvhd\0\0\0\0\0".to_vec();
    projection.extend(b"\0\0\0\x3cproj\0\0\0\x18prhd");
    projection.extend([0; 16]);
    projection.extend(b"\0\0\0\x1cequi");
    projection.extend([0; 20]);
    Some(Spherical { stereo, projection: projection.into() })
}
