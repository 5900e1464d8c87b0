//! When things are shown (TTML2, [12](https://www.w3.org/TR/ttml2/#timing)).

use super::tree::Element;

/// From when to before when, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) begin: i64,
    pub(super) end: i64,
}

impl Span {
    pub(super) const ALL: Self = Self { begin: 0, end: i64::MAX };
}

/// What a document says of its clock (TTML2, 7.2): rates as fractions.
pub(super) struct Clock {
    frames: (i128, i128),
    ticks: i128,
}

impl Clock {
    pub(super) fn of(root: &Element) -> Self {
        let number =
            |name: &str| root.any(name).and_then(|v| v.trim().parse::<u32>().ok()).filter(|v| *v > 0);
        let rate = number("frameRate");
        let multiplier = root.any("frameRateMultiplier").and_then(|value| {
            // TTML1's first edition wrote a colon.
            let mut parts = value.split([' ', ':']).filter_map(|v| v.parse::<u32>().ok()).filter(|v| *v > 0);
            Some((parts.next()?, parts.next()?))
        });
        let (num, den) = multiplier.unwrap_or((1, 1));
        let base = i128::from(rate.unwrap_or(30));
        let ticks = number("tickRate").map_or_else(|| i128::from(rate.unwrap_or(1)), i128::from);
        Self { frames: (base.saturating_mul(i128::from(num)), i128::from(den)), ticks }
    }

    /// When an element is shown within its parent; in a sequence, `after` is the end of the one before it.
    pub(super) fn span(&self, element: &Element, parent: Span, after: i64) -> Span {
        let time = |name: &str| element.get(name).and_then(|value| self.time(value.trim()));
        let begin = after.saturating_add(time("begin").unwrap_or(0));
        let mut end = parent.end;
        if let Some(at) = time("end") {
            end = end.min(after.saturating_add(at));
        }
        if let Some(length) = time("dur") {
            end = end.min(begin.saturating_add(length));
        }
        Span { begin, end }
    }

    /// A time expression (12.3.1) in milliseconds, rounded to the nearest.
    fn time(&self, text: &str) -> Option<i64> {
        if text.contains(':') {
            return self.clock_time(text);
        }
        let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (value, metric) = text.split_at(unit);
        let (num, den) = match metric {
            "h" => (3_600_000, 1),
            "m" => (60_000, 1),
            "s" => (1000, 1),
            "ms" => (1, 1),
            "f" => (self.frames.1.saturating_mul(1000), self.frames.0),
            "t" => (1000, self.ticks),
            _ => return None,
        };
        let (value, scale) = decimal(value)?;
        rounded(value.checked_mul(num)?, scale.checked_mul(den)?)
    }

    /// `hours:minutes:seconds`, with a fraction or frames.
    fn clock_time(&self, text: &str) -> Option<i64> {
        let mut parts = text.split(':');
        let mut whole = || parts.next()?.parse::<u32>().ok().map(i64::from);
        let (hours, minutes) = (whole()?, whole()?);
        let seconds = parts.next()?;
        let (value, scale) = decimal(seconds)?;
        let mut ms = rounded(value.checked_mul(1000)?, scale)?;
        if let Some(frames) = parts.next() {
            // Parts of frames are rarer than their mistakes: whole ones count.
            let (value, scale) = decimal(frames.split('.').next()?)?;
            let (num, den) = self.frames;
            ms = rounded(value.checked_mul(den)?.checked_mul(1000)?, scale.checked_mul(num)?)?
                .checked_add(ms)?;
        }
        let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
        parts.next().is_none().then_some(())?;
        minutes.checked_mul(60_000)?.checked_add(ms)
    }
}

/// A number without a sign, as a fraction.
fn decimal(text: &str) -> Option<(i128, i128)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.get(..fraction.len().min(9))?;
    let scale = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some((format!("{whole}{fraction}").parse().ok()?, scale))
}

fn rounded(num: i128, den: i128) -> Option<i64> {
    let half = den.checked_div(2)?;
    i64::try_from(num.checked_add(half)?.checked_div(den)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of TTML2, 12.3.1, and frames of NTSC.
    #[test]
    fn expressions() {
        let root = Element::new("tt")
            .attr("ttp:frameRate", "30")
            .attr("ttp:frameRateMultiplier", "1000 1001")
            .attr("ttp:tickRate", "10000000");
        let clock = Clock::of(&root);
        let cases = [
            ("00:00:01.5", 1500),
            ("01:00:00", 3_600_000),
            ("00:00:10:15", 10_501),
            ("1.25h", 4_500_000),
            ("2m", 120_000),
            ("45.5s", 45_500),
            ("750ms", 750),
            ("30f", 1001),
            ("25000000t", 2500),
        ];
        for (text, ms) in cases {
            assert_eq!(clock.time(text), Some(ms), "{text}");
        }
        for wrong in ["", "1", "s", "1:2", "-1s", "1x", "a:b:c", "1:2:3:4:5", "9999999999999h"] {
            assert_eq!(clock.time(wrong), None, "{wrong}");
        }
        assert_eq!(Clock::of(&Element::new("tt")).time("15f"), Some(500)); // 30 a second where nothing is said
        assert_eq!(Clock::of(&Element::new("tt")).time("2t"), Some(2000));
    }
}
