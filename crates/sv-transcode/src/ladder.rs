//! Which renditions to make of a picture, and why.

use serde::{Deserialize, Serialize};
use sv_core::{Codec, VideoInfo};

use crate::encode::{Cap, Effort, Rate};
use crate::filter::{display_size, even};
use crate::{Error, encode, filter};

/// One rendition: a size, a codec and a bit rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// What people call it: `720p`.
    pub name: String,
    /// Width in samples, even.
    pub width: u32,
    /// Height in samples, even.
    pub height: u32,
    /// The codec's short name: `h264`, `hevc`, `av1`, `vp9`.
    pub codec: String,
    /// Bits per second, on average, that it should need at most.
    pub bitrate: u64,
    /// Bits per second that a player's buffer has to take at most.
    pub max_bitrate: u64,
    /// Constant rate factor; where it is left out, the average bit rate rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crf: Option<f32>,
    /// How much work to put into it.
    #[serde(default)]
    pub effort: Effort,
    /// AV1 only: describe film grain of this strength (1 to 50) instead of encoding it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub film_grain: Option<u8>,
}

/// The renditions of one source, in order of falling quality within each codec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// The renditions.
    pub rungs: Vec<Rung>,
    /// One sentence for each choice that was made.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// Short side, bits per second of H.264 on average: where each size begins to pay at 24 to 30
/// frames a second, after Apple's HLS authoring specification (table of H.264 variants).
const STEPS: [(u32, u64); 8] = [
    (2160, 16_800_000),
    (1440, 9_700_000),
    (1080, 5_400_000),
    (720, 2_600_000),
    (540, 1_600_000),
    (432, 900_000),
    (360, 600_000),
    (240, 300_000),
];

/// Sizes of the automatic ladder: each step is about half the samples of the one before.
const AUTO: [u32; 6] = [2160, 1440, 1080, 720, 480, 360];
/// The smallest rung that is made when the source is larger.
const FLOOR: u32 = 240;

/// A source needs fewer bits than this in relation to a rung, or the rung adds nothing.
const WORTH: f64 = 1.15;

/// Bits grow more slowly than samples: this power of their number is what encoders need.
const SHARE: f64 = 0.75;

/// Fewer bits per second than this are no picture.
const LEAST: u64 = 50_000;

/// Bits that a codec needs in relation to H.264 for the same quality.
#[must_use]
pub fn efficiency(codec: Codec) -> f64 {
    match codec {
        Codec::Hevc => 0.6,
        Codec::Av1 => 0.5,
        Codec::Vp9 => 0.65,
        _ => 1.0,
    }
}

/// A codec by its short name, if it is one that ladders are made of.
#[must_use]
pub fn codec(name: &str) -> Option<Codec> {
    [Codec::H264, Codec::Hevc, Codec::Av1, Codec::Vp9].into_iter().find(|c| c.name() == name)
}

impl Rung {
    /// The same for pictures of another size and shape: as large as it is by the short side, and no larger than they are.
    #[must_use]
    pub fn fitted(&self, source: &VideoInfo) -> Self {
        let (w, h) = display_size(source);
        let short = self.width.min(self.height).min(w.min(h));
        let scale = f64::from(short) / f64::from(w.min(h));
        let (width, height) = (even(f64::from(w) * scale), even(f64::from(h) * scale));
        Self { width, height, ..self.clone() }
    }

    /// The codec, from its name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is none of the four.
    pub fn codec(&self) -> Result<Codec, Error> {
        codec(&self.codec).ok_or_else(|| {
            Error::Invalid(format!("rung {}: {:?} is not one of h264, hevc, av1, vp9", self.name, self.codec))
        })
    }

    /// A name that is unique within a ladder of several codecs: `720p-h264`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.codec)
    }

    /// How to filter for it. H.264 rungs are 8-bit and of standard dynamic range, because that is
    /// what plays everywhere; the others keep what the source has.
    #[must_use]
    pub fn filter(&self) -> filter::Video {
        let plain = self.codec == Codec::H264.name();
        filter::Video {
            size: Some((self.width, self.height)),
            bit_depth: plain.then_some(8),
            dynamic_range: if plain { filter::DynamicRange::Standard } else { filter::DynamicRange::Keep },
            ..filter::Video::default()
        }
    }

    /// How to encode it; the caller sets grid and backend.
    ///
    /// # Errors
    /// [`Error::Invalid`] as for [`codec`](Self::codec).
    pub fn encode(&self) -> Result<encode::Video, Error> {
        let mut video = encode::Video::new(self.codec()?);
        // Twice a second's worth: what players fetch in one go anyway.
        let cap = Some(Cap { bitrate: self.max_bitrate, buffer: self.max_bitrate.saturating_mul(2) });
        video.effort = self.effort;
        if let Some(strength) = self.film_grain {
            if self.codec != Codec::Av1.name() || !(1..=50).contains(&strength) {
                let message = "film grain is described in AV1 only, at a strength of 1 to 50";
                return Err(Error::Invalid(format!("rung {}: {message}", self.name)));
            }
            video.film_grain = Some(strength);
        }
        video.rate = match self.crf {
            Some(crf) => Rate::Quality { crf, cap },
            None => Rate::Average { bitrate: self.bitrate, cap },
        };
        Ok(video)
    }
}

impl Ladder {
    /// A ladder that suits the source: no rung larger than it (by the short side), none that it
    /// can't fill, the picture's shape and rotation kept, one set of rungs for each codec.
    ///
    /// `bitrate` is the source's, in bits per second, if it is known. Codecs that are no picture
    /// codecs of ladders are left out, with a sentence about it.
    #[must_use]
    pub fn auto(source: &VideoInfo, bitrate: Option<u64>, codecs: &[Codec]) -> Self {
        let mut ladder = Self::default();
        let (w, h) = display_size(source);
        let short = w.min(h);
        ladder.because(format!("the source is shown at {w}x{h}{}", frame_rate(source)));
        if source.interlaced {
            ladder.because("it is interlaced, so whole pictures are made of its fields first".into());
        }
        if source.quarter_turns != 0 {
            let degrees = u32::from(source.quarter_turns) * 90;
            ladder.because(format!("it is stored {degrees} degrees away from upright, and is turned"));
        }
        let hdr = source.color.is_pq() || source.color.is_hlg();
        if hdr && codecs.contains(&Codec::H264) {
            ladder.because(
                "it is HDR: H.264 rungs are mapped to standard dynamic range, others keep it".into(),
            );
        }
        let sizes = ladder.sizes(short);
        for &codec in codecs {
            if !matches!(codec, Codec::H264 | Codec::Hevc | Codec::Av1 | Codec::Vp9) {
                ladder.because(format!("{codec} is left out: it is no codec for pictures of a ladder"));
                continue;
            }
            ladder.add(&sizes, source, (w, h), bitrate, codec);
        }
        ladder
    }

    /// The fixed ladder of Apple's HLS authoring specification, without rungs larger than the
    /// source.
    #[must_use]
    pub fn fixed(source: &VideoInfo, codecs: &[Codec]) -> Self {
        let mut ladder = Self::default();
        let (w, h) = display_size(source);
        let short = w.min(h);
        let mut sizes: Vec<u32> = STEPS.iter().map(|(s, _)| *s).filter(|s| *s <= short).collect();
        if sizes.is_empty() {
            sizes.push(short);
        }
        ladder.because(format!("the fixed ladder, up to the source's {w}x{h}"));
        for &codec in codecs.iter().filter(|c| codec(c.name()).is_some()) {
            for &size in &sizes {
                ladder.rungs.push(rung(size, source, (w, h), codec));
            }
        }
        ladder
    }

    /// Checks a ladder that somebody wrote by hand: known codecs, even sizes, rates above zero,
    /// no two rungs of one name and codec, none larger than the source.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first fault.
    pub fn check(&self, source: &VideoInfo) -> Result<(), Error> {
        let fault = |rung: &Rung, what: &str| Err(Error::Invalid(format!("rung {}: {what}", rung.name)));
        if self.rungs.is_empty() {
            return Err(Error::Invalid("the ladder has no rungs".into()));
        }
        let (w, h) = display_size(source);
        for (i, rung) in self.rungs.iter().enumerate() {
            rung.codec()?;
            if rung.name.is_empty()
                || rung.name.chars().any(|c| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
            {
                return fault(rung, "a name has letters, digits, - and _ only: it becomes a folder");
            }
            if rung.width == 0 || rung.height == 0 || rung.width % 2 != 0 || rung.height % 2 != 0 {
                return fault(rung, "both sides must be even and above zero");
            }
            if rung.width.min(rung.height) > w.min(h) {
                return fault(rung, &format!("it is larger than the source, which is shown at {w}x{h}"));
            }
            if rung.bitrate == 0 || rung.max_bitrate < rung.bitrate {
                return fault(rung, "max_bitrate must be at least bitrate, and that above zero");
            }
            if self.rungs.iter().take(i).any(|other| other.id() == rung.id()) {
                return fault(rung, "there are two of this name and codec");
            }
        }
        Ok(())
    }

    /// What of it goes below the source itself, where that is shown as it came: rungs that are smaller, and need fewer bits
    /// than it has, if that is known.
    #[must_use]
    pub fn below(mut self, source: &VideoInfo, bitrate: Option<u64>) -> Self {
        let (w, h) = display_size(source);
        let mut reasons = vec!["the source itself is the top rung, as it comes".to_owned()];
        self.rungs.retain_mut(|rung| {
            if rung.width.min(rung.height) >= w.min(h) {
                reasons.push(format!("{} is left out: it would be as large as the source", rung.id()));
                return false;
            }
            let Some(most) = bitrate.filter(|most| rung.bitrate >= *most) else {
                rung.max_bitrate = bitrate.map_or(rung.max_bitrate, |most| rung.max_bitrate.min(most));
                return true;
            };
            reasons.push(format!(
                "{} is left out: it would need {} kbit/s, and the source itself has {}",
                rung.id(),
                rung.bitrate / 1000,
                most / 1000
            ));
            false
        });
        self.reasons.extend(reasons);
        self
    }

    fn because(&mut self, reason: String) {
        self.reasons.push(reason);
    }

    /// Short sides to make, falling.
    fn sizes(&mut self, short: u32) -> Vec<u32> {
        let mut sizes: Vec<u32> = AUTO.into_iter().filter(|s| *s <= short).collect();
        match sizes.first() {
            None => {
                self.because(format!("it is smaller than every usual size, so its own, {short}, is made"));
                sizes.push(short);
            }
            // A source between two sizes is made at its own, unless that is nearly the same.
            Some(&first) if f64::from(short) >= f64::from(first) * 1.2 => {
                self.because(format!(
                    "its own size, {short}, lies well above {first}, so it is the top rung"
                ));
                sizes.insert(0, short);
            }
            Some(&first) if first < short => {
                self.because(format!("the top rung is {first}: the source's {short} is hardly more"));
            }
            Some(&first) => {
                self.because(format!("the top rung is {first}, the source's own size: nothing is enlarged"))
            }
        }
        if short > FLOOR && sizes.last().is_none_or(|s| *s > FLOOR) {
            self.because(format!("{FLOOR} is there for the slowest connections"));
            sizes.push(FLOOR);
        }
        sizes
    }

    fn add(
        &mut self,
        sizes: &[u32],
        source: &VideoInfo,
        display: (u32, u32),
        bitrate: Option<u64>,
        codec: Codec,
    ) {
        let first = self.rungs.len();
        for &size in sizes {
            let mut rung = rung(size, source, display, codec);
            // The source was made by an encoder too: more bits than it has can't look better, and
            // smaller pictures of it need fewer in turn.
            let share = (f64::from(rung.width) * f64::from(rung.height)
                / (f64::from(display.0) * f64::from(display.1)))
            .powf(SHARE);
            let most = bitrate.map(|b| (b as f64 * WORTH * efficiency(codec).max(0.6) * share) as u64);
            if let Some(most) = most.filter(|m| *m < rung.bitrate) {
                if most < LEAST && self.rungs.len() > first {
                    self.because(format!(
                        "{} is left out: the source has too few bits to fill it",
                        rung.id()
                    ));
                    continue;
                }
                let was = rung.bitrate;
                rung.bitrate = most.max(LEAST);
                rung.max_bitrate = rung.max_bitrate.min(rung.bitrate.saturating_mul(2));
                self.because(format!(
                    "{} gets {} kbit/s instead of {}: the source itself has no more",
                    rung.id(),
                    rung.bitrate / 1000,
                    was / 1000
                ));
            }
            // A rung that needs nearly as much as the one above it is no choice for a player.
            let above = self.rungs.get(first..).and_then(|own| own.last()).map(|r| r.bitrate);
            if let Some(above) = above.filter(|a| *a < rung.bitrate + rung.bitrate / 4) {
                self.because(format!(
                    "{} is left out: at {} kbit/s it is too near to the {} kbit/s above it",
                    rung.id(),
                    rung.bitrate / 1000,
                    above / 1000
                ));
                continue;
            }
            self.rungs.push(rung);
        }
        let ratio = efficiency(codec);
        if codec != Codec::H264 {
            self.because(format!("{codec} gets {ratio} of the bits of H.264 for the same quality"));
        }
    }
}

fn frame_rate(source: &VideoInfo) -> String {
    source
        .frame_rate
        .map_or_else(String::new, |r| format!(" and {:.5} frames a second", r.to_f64()).replace(".00000", ""))
}

fn rung(short: u32, source: &VideoInfo, (w, h): (u32, u32), codec: Codec) -> Rung {
    let own = w.min(h);
    let scale = f64::from(short) / f64::from(own);
    let (width, height) = (even(f64::from(w) * scale), even(f64::from(h) * scale));
    let fps = source.frame_rate.map_or(30.0, |r| r.to_f64());
    // Twice the frames are more alike, so they need half as much again.
    let motion = if fps > 30.0 { (fps.min(120.0) / 30.0).powf(0.6) } else { 1.0 };
    // Bits per second of 16:9; wider and narrower pictures have more or fewer samples.
    let shape = f64::from(width) * f64::from(height) / (f64::from(short).powi(2) * 16.0 / 9.0);
    let bits = interpolate(short) * motion * shape.clamp(0.5, 2.0) * efficiency(codec);
    let bitrate = ((bits / 10_000.0).round() as u64).max(5) * 10_000;
    Rung {
        name: format!("{short}p"),
        width,
        height,
        codec: codec.name().into(),
        bitrate,
        max_bitrate: bitrate + bitrate / 2,
        crf: Some(match codec {
            Codec::Hevc => 25.0,
            Codec::Av1 => 32.0,
            Codec::Vp9 => 32.0,
            _ => 22.0,
        }),
        effort: Effort::default(),
        film_grain: None,
    }
}

/// Bits per second of H.264 for a short side, between the steps of the table.
fn interpolate(short: u32) -> f64 {
    let x = f64::from(short);
    let power = |(s, b): (u32, u64)| b as f64 * (x / f64::from(s)).powf(1.6);
    for pair in STEPS.windows(2) {
        let [(s1, b1), (s0, b0)] = *pair else { continue };
        if short <= s1 && short >= s0 {
            let t = (x - f64::from(s0)) / f64::from(s1 - s0);
            return b0 as f64 + t * (b1 as f64 - b0 as f64);
        }
    }
    if short > STEPS[0].0 { power(STEPS[0]) } else { power(STEPS[STEPS.len() - 1]) }
}
