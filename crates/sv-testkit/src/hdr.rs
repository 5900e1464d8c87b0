//! What codes of pictures look like, by the numbers of the recommendations, to judge what was made
//! of them. Nothing here is shared with what is judged.
//!
//! Codes are Y, Cb and Cr of 10 bits and studio range, with fractions where there are any. Light is
//! linear, in cd/m², of BT.2020 primaries.

/// What standard range shows its white at: [BT.2408](https://www.itu.int/pub/R-REP-BT.2408) §2.1.
pub const WHITE: f64 = 203.0;

/// Light of a PQ signal ([BT.2100](https://www.itu.int/rec/R-REC-BT.2100) table 4).
#[must_use]
pub fn pq_light(signal: f64) -> f64 {
    let root = signal.max(0.0).powf(32.0 / 2523.0);
    let light = ((root - 0.835_937_5).max(0.0) / (18.851_562_5 - 18.6875 * root)).powf(8192.0 / 1305.0);
    10_000.0 * light
}

/// The PQ signal of light.
#[must_use]
pub fn pq_signal(light: f64) -> f64 {
    let root = (light.max(0.0) / 10_000.0).powf(1305.0 / 8192.0);
    ((0.835_937_5 + 18.851_562_5 * root) / (1.0 + 18.6875 * root)).powf(2523.0 / 32.0)
}

/// R'G'B' of BT.2020 (or BT.2100), not limited to 0 to 1.
#[must_use]
pub fn signal_2020([y, cb, cr]: [f64; 3]) -> [f64; 3] {
    let (y, cb, cr) = ((y - 64.0) / 876.0, (cb - 512.0) / 896.0, (cr - 512.0) / 896.0);
    let (r, b) = (y + 1.4746 * cr, y + 1.8814 * cb);
    [r, (y - 0.2627 * r - 0.0593 * b) / 0.678, b]
}

/// Codes of R'G'B' of BT.2020.
#[must_use]
pub fn codes_2020([r, g, b]: [f64; 3]) -> [f64; 3] {
    let y = 0.2627 * r + 0.678 * g + 0.0593 * b;
    [64.0 + 876.0 * y, 512.0 + 896.0 * (b - y) / 1.8814, 512.0 + 896.0 * (r - y) / 1.4746]
}

/// Light of PQ codes.
#[must_use]
pub fn pq(codes: [f64; 3]) -> [f64; 3] {
    signal_2020(codes).map(|s| pq_light(s.clamp(0.0, 1.0)))
}

/// Light of HLG codes on a display of 1000 cd/m² (BT.2100 table 5).
#[must_use]
pub fn hlg(codes: [f64; 3]) -> [f64; 3] {
    let scene = signal_2020(codes).map(|e| match e.clamp(0.0, 1.0) {
        e if e <= 0.5 => e * e / 3.0,
        e => (((e - 0.559_910_73) / 0.178_832_77).exp() + 0.284_668_92) / 12.0,
    });
    let luminance = 0.2627 * scene[0] + 0.678 * scene[1] + 0.0593 * scene[2];
    scene.map(|e| if luminance > 0.0 { 1000.0 * luminance.powf(0.2) * e } else { 0.0 })
}

/// Light of BT.709 codes on a display of [BT.1886](https://www.itu.int/rec/R-REC-BT.1886) that shows
/// white at [`WHITE`].
#[must_use]
pub fn sdr([y, cb, cr]: [f64; 3]) -> [f64; 3] {
    let (y, cb, cr) = ((y - 64.0) / 876.0, (cb - 512.0) / 896.0, (cr - 512.0) / 896.0);
    let (r, b) = (y + 1.5748 * cr, y + 1.8556 * cb);
    let g = (y - 0.2126 * r - 0.0722 * b) / 0.7152;
    to_2020([r, g, b].map(|s| WHITE * s.clamp(0.0, 1.0).powf(2.4)))
}

fn times(m: [[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
    m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

/// Light of BT.709 primaries as light of BT.2020 ([BT.2087](https://www.itu.int/rec/R-REC-BT.2087)).
#[must_use]
pub fn to_2020(light: [f64; 3]) -> [f64; 3] {
    times([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]], light)
}

/// The other way ([BT.2407](https://www.itu.int/pub/R-REP-BT.2407)); colours outside get negative parts.
#[must_use]
pub fn to_709(light: [f64; 3]) -> [f64; 3] {
    times([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], light)
}

/// I, T and P of [BT.2124](https://www.itu.int/rec/R-REC-BT.2124): intensity, and two axes of colour.
#[must_use]
pub fn itp(light: [f64; 3]) -> [f64; 3] {
    let lms = times([[1688.0, 2146.0, 262.0], [683.0, 2951.0, 462.0], [99.0, 309.0, 3688.0]], light);
    let [l, m, s] = lms.map(|v| pq_signal(v / 4096.0));
    [
        (l + m) / 2.0,
        (6610.0 * l - 13613.0 * m + 7003.0 * s) / 8192.0,
        (17933.0 * l - 17390.0 * m - 543.0 * s) / 4096.0,
    ]
}

/// Light of I, T and P.
#[must_use]
pub fn itp_light([i, t, p]: [f64; 3]) -> [f64; 3] {
    let ct = 2.0 * t;
    let lms = [
        i + 0.008_609_037 * ct + 0.111_029_625 * p,
        i - 0.008_609_037 * ct - 0.111_029_625 * p,
        i + 0.560_031_336 * ct - 0.320_627_175 * p,
    ];
    times(
        [
            [3.436_606_694, -2.506_452_119, 0.069_845_424],
            [-0.791_329_556, 1.983_600_452, -0.192_270_896],
            [-0.025_949_900, -0.098_913_715, 1.124_863_614],
        ],
        lms.map(pq_light),
    )
}

/// ΔE ITP of two lights; 1 can just be seen (BT.2124).
#[must_use]
pub fn delta(a: [f64; 3], b: [f64; 3]) -> f64 {
    let (a, b) = (itp(a), itp(b));
    720.0 * ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)).sqrt()
}

/// The part of [`delta`] that is a difference of hue: as if brightness and saturation were the same.
#[must_use]
pub fn delta_hue(a: [f64; 3], b: [f64; 3]) -> f64 {
    let ([_, at, ap], [_, bt, bp]) = (itp(a), itp(b));
    let (ca, cb) = (at.hypot(ap), bt.hypot(bp));
    // What the axes differ by, less what saturation alone would.
    720.0 * ((at - bt).powi(2) + (ap - bp).powi(2) - (ca - cb).powi(2)).max(0.0).sqrt()
}
