//! Pictures of all directions: Google's
//! [Spherical Video V2](https://github.com/google/spatial-media/blob/master/docs/spherical-video-v2-rfc.md)
//! in boxes, and V1 as XML, of which the usual case is understood.

use bytes::Bytes;
use sv_core::Spherical;
use sv_core::spherical::{Bounds, Pose};

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

/// What the XML of a track says, if it is an equirectangular picture of everything or of a part.
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
    if value("Spherical")? != "true" || value("ProjectionType").is_some_and(|kind| kind != "equirectangular")
    {
        return None;
    }
    let stereo = match value("StereoMode").as_deref() {
        Some("top-bottom") => 1,
        Some("left-right") => 2,
        _ => 0,
    };
    let number = |tag: &str| value(tag)?.parse::<u32>().ok();
    let bounds = match value("CroppedAreaLeftPixels") {
        Some(_) => {
            let along = |side: &str, before: &str| {
                missing(
                    number(&format!("FullPano{side}Pixels"))?,
                    number(&format!("CroppedArea{before}Pixels"))?,
                    number(&format!("CroppedAreaImage{side}Pixels"))?,
                )
            };
            let ((left, right), (top, bottom)) = (along("Width", "Left")?, along("Height", "Top")?);
            Bounds { top, bottom, left, right }
        }
        None => Bounds::default(),
    };
    let degrees = |tag: &str, most: i32| {
        let degrees = value(tag).and_then(|text| text.parse::<i32>().ok()).unwrap_or(0);
        degrees.clamp(most.saturating_neg(), most).saturating_mul(1 << 16)
    };
    let pose = Pose {
        yaw: degrees("InitialViewHeadingDegrees", 180),
        pitch: degrees("InitialViewPitchDegrees", 90),
        roll: degrees("InitialViewRollDegrees", 180),
    };
    Some(Spherical::equirectangular(stereo, pose, bounds))
}

/// What lies before and behind a part along one side of the whole, in 0.32 fixed point; none where the
/// part does not fit.
fn missing(whole: u32, before: u32, part: u32) -> Option<(u32, u32)> {
    let behind = whole.checked_sub(before)?.checked_sub(part)?;
    let share = |n: u32| u32::try_from(u64::from(n).checked_shl(32)?.checked_div(u64::from(whole))?).ok();
    Some((share(before)?, share(behind)?))
}
