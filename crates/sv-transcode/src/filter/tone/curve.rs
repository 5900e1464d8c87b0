//! How bright light becomes less bright.

use super::color::{WHITE, pq_light, pq_signal};

/// How the light of HDR is fitted into standard range. Both begin at black and end at white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToneCurve {
    /// Shadows and mid-tones as they are, a shoulder above: the EETF of
    /// [BT.2390](https://www.itu.int/pub/R-REP-BT.2390) §5.4.1.
    #[default]
    Bt2390,
    /// John Hable's curve of film, with light relative to 100 cd/m² as FFmpeg's `tonemap` is mostly
    /// used: softer and darker.
    Hable,
}

/// A curve for a source whose brightest light is known.
pub(super) enum Curve {
    Bt2390 { peak: f64, max: f64, knee: f64 },
    Hable { peak: f64, white: f64 },
}

impl Curve {
    /// For a source that goes up to `peak` cd/m², which is not below [`WHITE`].
    pub(super) fn new(curve: ToneCurve, peak: f64) -> Self {
        match curve {
            ToneCurve::Bt2390 => {
                let source = pq_signal(peak);
                let max = pq_signal(WHITE) / source;
                Self::Bt2390 { peak: source, max, knee: 1.5 * max - 0.5 }
            }
            ToneCurve::Hable => Self::Hable { peak, white: hable(peak / 100.0) },
        }
    }

    /// What standard range shows for `light`, up to [`WHITE`]; both in cd/m².
    pub(super) fn apply(&self, light: f64) -> f64 {
        match *self {
            Self::Bt2390 { peak, max, knee } => {
                // E1 to E4 of the report, with black at zero on both sides.
                let e1 = (pq_signal(light) / peak).min(1.0);
                if e1 < knee || max >= 1.0 {
                    return light.min(WHITE);
                }
                let t = (e1 - knee) / (1.0 - knee);
                let (t2, t3) = (t * t, t * t * t);
                let e2 = (2.0 * t3 - 3.0 * t2 + 1.0) * knee
                    + (t3 - 2.0 * t2 + t) * (1.0 - knee)
                    + (3.0 * t2 - 2.0 * t3) * max;
                pq_light(e2 * peak)
            }
            Self::Hable { peak, white } => WHITE * hable(light.min(peak) / 100.0) / white,
        }
    }
}

/// "Filmic tonemapping for real-time rendering", SIGGRAPH 2010.
fn hable(x: f64) -> f64 {
    let (a, b, c, d, e, f) = (0.15, 0.50, 0.10, 0.20, 0.02, 0.30);
    (x * (a * x + c * b) + d * e) / (x * (a * x + b) + d * f) - e / f
}
