//! Which rung gets how much effort, when there is a budget.

use serde::{Deserialize, Serialize};

use super::{Budget, Place, Point, Pruned, describe};
use crate::Error;
use crate::encode::Effort;

/// What less effort costs in bits and saves in time, in relation to the effort of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trade {
    /// The effort.
    pub effort: Effort,
    /// Bits for the same quality: 1.3 for 30 % more.
    pub bits: f64,
    /// Encoding time.
    pub cost: f64,
    /// What is added to a factor for the same quality.
    pub crf: f32,
}

impl Trade {
    /// From measurements of the same samples at one size, with the effort of all others and with another.
    #[must_use]
    pub fn between(usual: &[Point], effort: Effort, points: &[Point]) -> Option<Self> {
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.quality.vmaf.total_cmp(&b.quality.vmaf));
        let (mut bits, mut crf, mut count) = (0.0, 0.0, 0.0);
        for own in usual {
            let vmaf = own.quality.vmaf;
            // What lies beyond the measurements is not guessed.
            let pair = points.windows(2).find(|p| p[0].quality.vmaf <= vmaf && vmaf <= p[1].quality.vmaf);
            let Some([a, b]) = pair else { continue };
            let t = (vmaf - a.quality.vmaf) / (b.quality.vmaf - a.quality.vmaf).max(1e-9);
            let rate = a.bitrate.ln() + t * (b.bitrate.ln() - a.bitrate.ln());
            bits += rate - own.bitrate.ln();
            crf += f64::from(a.crf) + t * f64::from(b.crf - a.crf) - f64::from(own.crf);
            count += 1.0;
        }
        let cost = |points: &[Point]| points.iter().map(|p| p.cost).sum::<f64>() / points.len().max(1) as f64;
        let (theirs, ours) = (cost(&points), cost(usual));
        (count > 0.0 && ours > 0.0 && theirs > 0.0).then(|| Self {
            effort,
            bits: (bits / count).exp(),
            cost: theirs / ours,
            crf: (crf / count) as f32,
        })
    }
}

/// A rung as far as it is decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) place: Place,
    pub(super) effort: Effort,
    /// Core-seconds for a minute of the source.
    pub(super) cost: f64,
}

/// From one rung to the next, bits must still fall by this much when less effort has made one larger.
const APART: f64 = 1.25;

/// A change that saves less than a tenth of the time is none.
const WORTH: f64 = 0.9;

/// Gives rungs less effort, and leaves some out where that is not enough, until all can be paid for.
pub(super) fn afford(
    places: &[Place],
    points: &[Point],
    trades: &[Trade],
    budget: &Budget,
    effort: Effort,
    (reasons, pruned): (&mut Vec<String>, &mut Vec<Pruned>),
) -> Result<Vec<Choice>, Error> {
    let choice = |place: &Place| Choice { place: *place, effort, cost: cost(place, points) };
    let mut choices: Vec<Choice> = places.iter().map(choice).collect();
    let Some(most) = budget.core_seconds_per_minute else { return Ok(choices) };
    let all = |choices: &[Choice]| choices.iter().map(|c| c.cost).sum::<f64>();
    let wanted = all(&choices);
    while all(&choices) > most {
        if let Some((index, cheaper)) = cheapest(&choices, places, points, trades, budget) {
            let was = std::mem::replace(&mut choices[index], cheaper);
            reasons.push(format!(
                "{} is encoded with less effort ({:?}), as {}: that saves {:.1} core-seconds a minute",
                describe(&was.place),
                cheaper.effort,
                describe(&cheaper.place),
                was.cost - cheaper.cost
            ));
            continue;
        }
        // The dearest goes, but the least one stays for slow connections.
        let dearest = choices.iter().enumerate().max_by(|a, b| a.1.cost.total_cmp(&b.1.cost));
        let Some((index, _)) = dearest.filter(|_| choices.len() > 1) else {
            return Err(Error::Invalid(format!(
                "even one rung takes {:.1} core-seconds for a minute, and {most:.1} are allowed: allow more, or choose a faster preset",
                all(&choices)
            )));
        };
        let place = choices.remove(index).place;
        let reason =
            format!("all rungs would take {wanted:.1} core-seconds for a minute; {most:.1} are allowed");
        reasons.push(format!("{} is left out: {reason}", describe(&place)));
        pruned.push(Pruned { place, reason });
    }
    Ok(choices)
}

/// The rung whose next step down saves the most time for the bits that it takes.
fn cheapest(
    choices: &[Choice],
    places: &[Place],
    points: &[Point],
    trades: &[Trade],
    budget: &Budget,
) -> Option<(usize, Choice)> {
    let limit = budget.max_bitrate.map_or(f64::INFINITY, |b| b as f64);
    let mut best: Option<(f64, usize, Choice)> = None;
    for (index, now) in choices.iter().enumerate() {
        // Trades are in relation to what was measured, not to the last step.
        let same = |p: &&Place| {
            (p.width, p.height) == (now.place.width, now.place.height) && p.vmaf == now.place.vmaf
        };
        let Some(base) = places.iter().find(same) else { continue };
        for trade in trades.iter().filter(|t| t.effort < now.effort) {
            let place = Place { bitrate: base.bitrate * trade.bits, crf: base.crf + trade.crf, ..*base };
            let above = index.checked_sub(1).and_then(|i| choices.get(i)).map(|c| c.place.bitrate);
            let cost = cost(base, points) * trade.cost;
            if place.bitrate * APART > above.unwrap_or(f64::INFINITY)
                || place.bitrate > limit
                || cost > now.cost * WORTH
            {
                continue;
            }
            let price = (place.bitrate - now.place.bitrate) / (now.cost - cost);
            if best.as_ref().is_none_or(|(least, ..)| price < *least) {
                best = Some((price, index, Choice { place, effort: trade.effort, cost }));
            }
        }
    }
    best.map(|(_, index, choice)| (index, choice))
}

/// Core-seconds that encoding a minute of it takes, by the nearest measurement.
fn cost(place: &Place, points: &[Point]) -> f64 {
    let near = points
        .iter()
        .filter(|p| (p.width, p.height) == (place.width, place.height))
        .min_by(|a, b| (a.crf - place.crf).abs().total_cmp(&(b.crf - place.crf).abs()));
    near.map_or(0.0, |p| p.cost * 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Verdict;

    fn point(crf: f32, bitrate: f64, vmaf: f64, cost: f64) -> Point {
        let quality = Verdict { vmaf, xpsnr: 40.0, adm: 0.9, vif: [0.9; 4], motion: 3.0 };
        Point { width: 1280, height: 720, crf, bitrate, quality, cost }
    }

    #[test]
    fn a_trade_is_read_at_equal_quality() {
        // A third more bits, half the time, and the same quality at two factors less.
        let usual: Vec<Point> = [(20.0, 4e6, 96.0), (28.0, 2e6, 88.0), (36.0, 1e6, 72.0)]
            .map(|(c, b, v)| point(c, b, v, 2.0))
            .to_vec();
        let other: Vec<Point> = [
            (14.0, 8e6 / 0.75, 99.0),
            (18.0, 4e6 / 0.75, 96.0),
            (26.0, 2e6 / 0.75, 88.0),
            (34.0, 1e6 / 0.75, 72.0),
        ]
        .map(|(c, b, v)| point(c, b, v, 1.0))
        .to_vec();
        let trade = Trade::between(&usual, Effort::Faster, &other).unwrap();
        assert!((trade.bits - 4.0 / 3.0).abs() < 1e-9, "{trade:?}");
        assert!((trade.cost - 0.5).abs() < 1e-9 && (trade.crf + 2.0).abs() < 1e-6, "{trade:?}");
        assert_eq!(Trade::between(&usual, Effort::Faster, &[point(20.0, 1e6, 50.0, 1.0)]), None);
    }

    fn places() -> (Vec<Place>, Vec<Point>) {
        let sizes =
            [(1280u32, 720u32, 3e6, 95.0, 1.0), (854, 480, 1.2e6, 86.0, 0.5), (640, 360, 5e5, 75.0, 0.3)];
        let place = |(width, height, bitrate, vmaf, _): (u32, u32, f64, f64, f64)| Place {
            width,
            height,
            crf: 24.0,
            bitrate,
            vmaf,
        };
        let point = |(width, height, bitrate, vmaf, cost): (u32, u32, f64, f64, f64)| Point {
            width,
            height,
            ..point(24.0, bitrate, vmaf, cost)
        };
        (sizes.map(place).to_vec(), sizes.map(point).to_vec())
    }

    fn afforded(most: f64, trades: &[Trade], budget: Budget) -> Result<(Vec<Choice>, Vec<String>), Error> {
        let (places, points) = places();
        let budget = Budget { core_seconds_per_minute: Some(most), ..budget };
        let (mut reasons, mut pruned) = (Vec::new(), Vec::new());
        let choices = afford(&places, &points, trades, &budget, Effort::Fast, (&mut reasons, &mut pruned))?;
        Ok((choices, reasons))
    }

    const FASTER: Trade = Trade { effort: Effort::Faster, bits: 1.3, cost: 0.6, crf: -2.0 };
    const FASTEST: Trade = Trade { effort: Effort::Fastest, bits: 2.6, cost: 0.3, crf: -4.0 };

    #[test]
    fn effort_is_taken_where_it_costs_the_fewest_bits_and_rungs_stay() {
        // All together take 108 core-seconds.
        let (choices, reasons) = afforded(95.0, &[FASTER, FASTEST], Budget::default()).unwrap();
        assert_eq!(choices.len(), 3);
        let total: f64 = choices.iter().map(|c| c.cost).sum();
        assert!(total <= 95.0, "{total}");
        // The small rungs pay: a third more of few bits is little.
        assert_eq!(choices[0].effort, Effort::Fast, "{choices:?}");
        assert!(choices[1].effort < Effort::Fast, "{choices:?}");
        assert!(reasons.iter().any(|r| r.contains("less effort")), "{reasons:?}");
        // Rungs keep their distance, and their quality.
        for pair in choices.windows(2) {
            assert!(pair[1].place.bitrate * APART <= pair[0].place.bitrate, "{choices:?}");
        }
        assert!(choices.iter().zip(places().0).all(|(c, p)| c.place.vmaf == p.vmaf));
    }

    #[test]
    fn what_still_costs_too_much_is_left_out_and_the_largest_rate_holds() {
        let (choices, reasons) = afforded(40.0, &[FASTER], Budget::default()).unwrap();
        assert!(choices.len() < 3 && choices.iter().map(|c| c.cost).sum::<f64>() <= 40.0, "{choices:?}");
        assert!(reasons.iter().any(|r| r.contains("left out")), "{reasons:?}");
        let budget = Budget { max_bitrate: Some(3_100_000), ..Budget::default() };
        let (choices, _) = afforded(70.0, &[FASTER, FASTEST], budget).unwrap();
        assert!(choices.iter().all(|c| c.place.bitrate <= 3.1e6), "{choices:?}");
        assert!(afforded(1.0, &[FASTER, FASTEST], Budget::default()).is_err());
    }
}
