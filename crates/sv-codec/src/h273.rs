//! Tables that H.264 and HEVC share with ITU-T H.273.

use sv_core::Ratio;

/// Sample aspect ratio of `aspect_ratio_idc` 1 to 16 (H.273, table 11).
pub(crate) fn sample_aspect(idc: u32) -> Option<Ratio> {
    let (width, height) = match idc {
        1 => (1, 1),
        2 => (12, 11),
        3 => (10, 11),
        4 => (16, 11),
        5 => (40, 33),
        6 => (24, 11),
        7 => (20, 11),
        8 => (32, 11),
        9 => (80, 33),
        10 => (18, 11),
        11 => (15, 11),
        12 => (64, 33),
        13 => (160, 99),
        14 => (4, 3),
        15 => (3, 2),
        16 => (2, 1),
        _ => return None,
    };
    Ratio::new(width, height)
}
