//! The arithmetic of colour: transfer functions, matrices, and the space in which hue is kept.
//!
//! Light is in cd/m² unless a name says otherwise, colours are `[red, green, blue]`.

use std::sync::LazyLock;

/// Diffuse white of HDR, and what the white of standard range is shown at:
/// [BT.2408](https://www.itu.int/pub/R-REP-BT.2408) §2.1.
pub(super) const WHITE: f64 = 203.0;

pub(super) type Matrix = [[f64; 3]; 3];

pub(super) fn times(m: &Matrix, v: [f64; 3]) -> [f64; 3] {
    m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

/// First `b`, then `a`.
pub(super) fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let columns = [0, 1, 2].map(|c| times(a, b.map(|row| row[c])));
    transposed(&columns)
}

fn transposed(m: &Matrix) -> Matrix {
    [0, 1, 2].map(|c| m.map(|row| row[c]))
}

/// The inverse, by cofactors. None of the matrices here is singular.
pub(super) fn inverse(m: &Matrix) -> Matrix {
    let cross = |a: [f64; 3], b: [f64; 3]| {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    };
    let [a, b, c] = *m;
    let columns = [cross(b, c), cross(c, a), cross(a, b)];
    let determinant: f64 = a.iter().zip(columns[0]).map(|(x, y)| x * y).sum();
    transposed(&columns).map(|row| row.map(|v| v / determinant))
}

/// Red, green and blue as x and y; the white of all three is D65.
pub(super) type Primaries = [[f64; 2]; 3];
pub(super) const BT709: Primaries = [[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]];
pub(super) const BT2020: Primaries = [[0.708, 0.292], [0.170, 0.797], [0.131, 0.046]];
pub(super) const P3: Primaries = [[0.68, 0.32], [0.265, 0.69], [0.15, 0.06]];

/// Linear light of these primaries to CIE XYZ
/// ([SMPTE RP 177](https://pub.smpte.org/doc/rp177/) §3.3).
pub(super) fn to_xyz(primaries: &Primaries) -> Matrix {
    let xyz = |[x, y]: [f64; 2]| [x / y, 1.0, (1.0 - x - y) / y];
    let columns = transposed(&primaries.map(xyz));
    let scale = times(&inverse(&columns), xyz([0.3127, 0.3290]));
    columns.map(|row| [row[0] * scale[0], row[1] * scale[1], row[2] * scale[2]])
}

// BT.2100 table 4.
const M1: f64 = 2610.0 / 16384.0;
const M2: f64 = 2523.0 / 4096.0 * 128.0;
const C1: f64 = 3424.0 / 4096.0;
const C2: f64 = 2413.0 / 4096.0 * 32.0;
const C3: f64 = 2392.0 / 4096.0 * 32.0;

/// Intervals of [`LIGHT`]: what lies between its values is off by less than a millionth.
const FINE: usize = 4096;
/// The light of PQ signals from 0 to 1 ([BT.2100](https://www.itu.int/rec/R-REC-BT.2100) table 4).
static LIGHT: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let light = |n: usize| {
        let root = (n as f64 / FINE as f64).powf(1.0 / M2);
        10_000.0 * ((root - C1).max(0.0) / (C2 - C3 * root)).powf(1.0 / M1)
    };
    (0..=FINE).map(light).collect()
});

/// Light of a PQ signal; what is below black mirrors what is above, as noise around black does.
pub(super) fn pq_light(signal: f64) -> f64 {
    let at = signal.abs().min(1.0) * FINE as f64;
    let lower = (at as usize).min(FINE - 1);
    let (below, above) = (LIGHT[lower], LIGHT[lower + 1]);
    (below + (above - below) * (at - lower as f64)).copysign(signal)
}

/// The PQ signal of light.
pub(super) fn pq_signal(light: f64) -> f64 {
    let root = (light.abs() / 10_000.0).powf(M1);
    ((C1 + C2 * root) / (1.0 + C3 * root)).powf(M2).copysign(light)
}

/// Light that a display of 1000 cd/m² makes of an HLG signal of BT.2020 primaries: the inverse OETF
/// and the OOTF with its system gamma of 1.2 (BT.2100 table 5).
pub(super) fn hlg_light(signal: [f64; 3]) -> [f64; 3] {
    const A: f64 = 0.178_832_77;
    const B: f64 = 1.0 - 4.0 * A;
    let c = 0.5 - A * (4.0 * A).ln();
    let scene = signal.map(|e| match e {
        e if e <= 0.5 => e.max(0.0) * e.max(0.0) / 3.0,
        e => (((e - c) / A).exp() + B) / 12.0,
    });
    let luminance = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2];
    // Black has no gain that could be told.
    let gain = if luminance > 0.0 { 1000.0 * luminance.powf(0.2) } else { 0.0 };
    scene.map(|e| e * gain)
}

/// Linear light of BT.2020 to the cone responses of BT.2100 table 7.
pub(super) const LMS: Matrix = [
    [1688.0 / 4096.0, 2146.0 / 4096.0, 262.0 / 4096.0],
    [683.0 / 4096.0, 2951.0 / 4096.0, 462.0 / 4096.0],
    [99.0 / 4096.0, 309.0 / 4096.0, 3688.0 / 4096.0],
];

/// PQ signals of cone responses to intensity, Ct and Cp.
pub(super) const ICTCP: Matrix = [
    [0.5, 0.5, 0.0],
    [6610.0 / 4096.0, -13613.0 / 4096.0, 7003.0 / 4096.0],
    [17933.0 / 4096.0, -17390.0 / 4096.0, -543.0 / 4096.0],
];
