//! From measurements to rungs. No media in here: numbers in, numbers out.

use sv_core::Codec;

use super::presets::{Trade, afford};
use super::{Budget, Decision, LEAST, Place, Point, Pruned, describe};
use crate::encode::Effort;
use crate::{Error, Ladder, Rung};

/// From one rung to the next, bits fall by at least a third and by no more than half: players
/// switch without a gap, and none is wasted.
const RATIO: (f64, f64) = (1.5, 2.2);
/// Less quality than this is worth showing only on the slowest connections.
const POOR: f64 = 30.0;

/// Chooses the rungs of one codec. `points` are measurements of some sizes, each at two factors or
/// more, with `effort`; `trades` say what less of it means, for a budget of core-seconds.
///
/// # Errors
/// [`Error::Invalid`] when there are too few measurements, or a budget that nothing fits.
pub fn choose(
    codec: Codec,
    points: &[Point],
    trades: &[Trade],
    budget: &Budget,
    effort: Effort,
) -> Result<Decision, Error> {
    if !(budget.target > 0.0 && budget.target <= 100.0 && budget.rungs > 0 && budget.step > 0.0) {
        return Err(Error::Invalid(
            "a budget has a target of 1 to 100, a step above zero and at least one rung".into(),
        ));
    }
    let surface = surface(points);
    let hull = hull(&surface);
    if hull.is_empty() {
        return Err(Error::Invalid("there are too few measurements to choose a ladder from".into()));
    }
    let mut reasons = Vec::new();
    let mut pruned = Vec::new();
    let places = places(&frontier(&surface), budget, &mut reasons, &mut pruned);
    let choices = afford(&places, points, trades, budget, effort, (&mut reasons, &mut pruned))?;
    let mut ladder = Ladder { rungs: Vec::new(), reasons };
    for choice in &choices {
        ladder.rungs.push(rung(&choice.place, codec, choice.effort, &ladder.rungs));
    }
    let places = choices.into_iter().map(|choice| choice.place).collect();
    Ok(Decision {
        codec: codec.name().into(),
        budget: *budget,
        noise: None,
        points: points.to_vec(),
        trades: trades.to_vec(),
        hull,
        places,
        pruned,
        ladder,
        tried: (0, 0.0),
    })
}

/// Each size at each whole factor between its measurements: the logarithm of the rate and the
/// quality follow the parabola through three of them, where that falls all the way.
fn surface(points: &[Point]) -> Vec<Place> {
    let mut sizes: Vec<(u32, u32)> = points.iter().map(|p| (p.width, p.height)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut out = Vec::new();
    for (width, height) in sizes {
        let mut of: Vec<&Point> = points
            .iter()
            .filter(|p| {
                (p.width, p.height) == (width, height) && p.bitrate > 0.0 && p.quality.vmaf.is_finite()
            })
            .collect();
        of.sort_by(|a, b| a.crf.total_cmp(&b.crf));
        let rates: Vec<(f64, f64)> = of.iter().map(|p| (f64::from(p.crf), p.bitrate.ln())).collect();
        let qualities: Vec<(f64, f64)> = of.iter().map(|p| (f64::from(p.crf), p.quality.vmaf)).collect();
        let ends = of.first().zip(of.last()).map(|(a, b)| (a.crf.ceil(), b.crf));
        let Some((mut crf, last)) = ends.filter(|_| of.len() >= 2) else { continue };
        while crf <= last {
            let at = f64::from(crf);
            let (bitrate, vmaf) = (between(&rates, at).exp(), between(&qualities, at).clamp(0.0, 100.0));
            out.push(Place { width, height, crf, bitrate, vmaf });
            crf += 1.0;
        }
    }
    out
}

/// The value at `x` between measurements that are in order of `x`.
fn between(known: &[(f64, f64)], x: f64) -> f64 {
    let segment = known.windows(2).find(|pair| x <= pair[1].0).or(known.windows(2).last());
    let Some([a, b]) = segment else { return known.first().map_or(0.0, |k| k.1) };
    let straight = a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0).max(1e-9);
    let [p, q, r] = known else { return straight };
    let first = (q.1 - p.1) / (q.0 - p.0);
    let second = ((r.1 - q.1) / (r.0 - q.0) - first) / (r.0 - p.0);
    let slope = |x: f64| first + second * (2.0 * x - p.0 - q.0);
    let parabola = p.1 + first * (x - p.0) + second * (x - p.0) * (x - q.0);
    if slope(p.0) <= 0.0 && slope(r.0) <= 0.0 { parabola } else { straight }
}

/// The places that no other beats in rate and quality both, in order of rising rate.
fn frontier(surface: &[Place]) -> Vec<Place> {
    let mut sorted = surface.to_vec();
    sorted.sort_by(|a, b| a.bitrate.total_cmp(&b.bitrate).then(b.vmaf.total_cmp(&a.vmaf)));
    let mut out: Vec<Place> = Vec::new();
    for place in sorted {
        if out.last().is_none_or(|last| place.vmaf > last.vmaf) {
            out.push(place);
        }
    }
    out
}

/// The places that no mixture of two others beats: rising in rate and quality, ever less steeply.
fn hull(surface: &[Place]) -> Vec<Place> {
    let mut hull: Vec<Place> = Vec::new();
    for place in frontier(surface) {
        while let [.., a, b] = hull[..] {
            let slope = |x: &Place, y: &Place| (y.vmaf - x.vmaf) / (y.bitrate / x.bitrate).ln().max(1e-9);
            if slope(&a, &b) > slope(&b, &place) {
                break;
            }
            hull.pop();
        }
        hull.push(place);
    }
    hull
}

/// The cheapest place of at least a quality.
fn at_quality(frontier: &[Place], vmaf: f64) -> Option<&Place> {
    frontier.iter().find(|p| p.vmaf >= vmaf)
}

fn places(
    frontier: &[Place],
    budget: &Budget,
    reasons: &mut Vec<String>,
    pruned: &mut Vec<Pruned>,
) -> Vec<Place> {
    let most = budget.max_bitrate.map_or(f64::INFINITY, |b| b as f64);
    let usable: Vec<Place> = frontier.iter().copied().filter(|p| p.bitrate <= most).collect();
    let Some(best) = usable.last().copied().or(frontier.first().copied()) else { return Vec::new() };
    let top = at_quality(&usable, budget.target).copied().unwrap_or(best);
    if top.vmaf >= budget.target {
        reasons.push(format!(
            "the top rung is {}: VMAF {:.1} is expected of it, and more than {:.0} is not seen",
            describe(&top),
            top.vmaf,
            budget.target
        ));
        if best.bitrate > top.bitrate * 1.05 {
            let reason = format!("it is better than the target of {:.0}, which nobody sees", budget.target);
            pruned.push(Pruned { place: best, reason });
        }
    } else {
        reasons.push(format!(
            "the top rung is {}: VMAF {:.1} is the best that fits, below the target of {:.0}",
            describe(&top),
            top.vmaf,
            budget.target
        ));
    }
    let mut out = vec![top];
    while out.len() < budget.rungs {
        let Some(last) = out.last().copied() else { break };
        let below: Vec<&Place> = usable.iter().filter(|p| p.bitrate < last.bitrate).collect();
        // A visible step down, or as many bits less as players like, whichever is further away,
        // but no gap that nothing bridges.
        let wanted = below
            .iter()
            .rev()
            .find(|p| p.vmaf <= last.vmaf - budget.step && p.bitrate <= last.bitrate / RATIO.0);
        let bridge = below.iter().rev().find(|p| p.bitrate <= last.bitrate / RATIO.1);
        let next = match (wanted, bridge) {
            (Some(a), Some(b)) => Some(if a.bitrate >= b.bitrate { **a } else { **b }),
            (a, b) => a.or(b).map(|p| **p),
        };
        let Some(next) = next else { break };
        if next.bitrate < LEAST && last.bitrate < 2.0 * LEAST {
            pruned.push(Pruned { place: next, reason: "fewer bits help nobody any more".into() });
            break;
        }
        if next.vmaf < POOR && last.vmaf < POOR + budget.step {
            pruned.push(Pruned { place: next, reason: "it is too poor to look at".into() });
            break;
        }
        if last.vmaf - next.vmaf < budget.visible {
            // Easy pictures: far fewer bits, and nobody sees it. The dearer one is of no use.
            let reason = format!("{} needs fewer bits and nobody can tell them apart", describe(&next));
            reasons.push(format!("{} is left out: {reason}", describe(&last)));
            pruned.push(Pruned { place: last, reason });
            out.pop();
        }
        out.push(next);
    }
    for pair in out.windows(2) {
        let [above, place] = pair else { continue };
        reasons.push(format!(
            "{} comes next: VMAF {:.1}, {:.1} less, for {:.0} % of the bits",
            describe(place),
            place.vmaf,
            above.vmaf - place.vmaf,
            100.0 * place.bitrate / above.bitrate
        ));
    }
    out
}

fn rung(place: &Place, codec: Codec, effort: Effort, above: &[Rung]) -> Rung {
    let short = place.width.min(place.height);
    let plain = format!("{short}p");
    let name = match above.iter().any(|r| r.name == plain) {
        true => format!("{short}p-{:.0}k", place.bitrate / 1000.0),
        false => plain,
    };
    let bitrate = ((place.bitrate / 1000.0).round() as u64).max(50) * 1000;
    Rung {
        name,
        width: place.width,
        height: place.height,
        codec: codec.name().into(),
        bitrate,
        // Scenes differ: quality stays, and twice the mean is what a buffer evens out.
        max_bitrate: bitrate * 2,
        crf: Some(place.crf),
        effort,
        film_grain: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Verdict;

    /// A source whose quality at a size saturates, as real ones do; larger sizes need more bits.
    fn points(ease: f64) -> Vec<Point> {
        let mut out = Vec::new();
        for (height, ceiling) in [(1080u32, 99.0f64), (720, 95.0), (540, 88.0), (360, 74.0), (240, 58.0)] {
            for crf in [18.0f32, 24.0, 30.0, 36.0, 42.0] {
                let area = f64::from(height).powi(2);
                let bitrate = 6.0 * area * (-(f64::from(crf) - 18.0) / 8.5).exp() / ease;
                let loss = ((f64::from(crf) - 16.0) / 5.5).exp() / ease;
                let vmaf = (ceiling - loss).max(5.0);
                let quality = Verdict { vmaf, xpsnr: 40.0, adm: 0.9, vif: [0.9; 4], motion: 3.0 };
                let cost = area / 1e6;
                let width = height * 16 / 9;
                out.push(Point { width, height, crf, bitrate, quality, cost });
            }
        }
        out
    }

    fn decide(ease: f64, budget: &Budget) -> Decision {
        choose(Codec::H264, &points(ease), &[], budget, Effort::Fast).unwrap()
    }

    #[test]
    fn the_hull_rises_ever_less_steeply_and_nothing_lies_above_it() {
        let decision = decide(1.0, &Budget::default());
        for trio in decision.hull.windows(3) {
            let slope = |a: &Place, b: &Place| (b.vmaf - a.vmaf) / (b.bitrate / a.bitrate).ln();
            assert!(trio[0].bitrate < trio[1].bitrate && trio[0].vmaf < trio[1].vmaf);
            assert!(slope(&trio[0], &trio[1]) >= slope(&trio[1], &trio[2]));
        }
        for p in &decision.points {
            let above = decision.hull.windows(2).any(|pair| {
                let (a, b) = (&pair[0], &pair[1]);
                let t = (p.bitrate / a.bitrate).ln() / (b.bitrate / a.bitrate).ln();
                (0.0..=1.0).contains(&t) && p.quality.vmaf > a.vmaf + t * (b.vmaf - a.vmaf) + 1e-6
            });
            assert!(!above, "{p:?}");
        }
    }

    #[test]
    fn rungs_are_spaced_and_within_the_budget() {
        for ease in [0.3, 1.0, 4.0, 20.0] {
            let mut budget = Budget { rungs: 5, ..Budget::default() };
            budget.max_bitrate = Some(4_000_000);
            let decision = decide(ease, &budget);
            let places = &decision.places;
            assert!(!places.is_empty() && places.len() <= 5, "{places:?}");
            assert!(places[0].bitrate <= 4_000_000.0);
            for pair in places.windows(2) {
                assert!(pair[1].bitrate <= pair[0].bitrate / RATIO.0, "{pair:?}");
                assert!(pair[0].vmaf - pair[1].vmaf >= budget.visible, "{pair:?}");
                assert!(pair[1].height <= pair[0].height, "{pair:?}");
            }
            assert_eq!(decision.ladder.rungs.len(), places.len());
            let names: std::collections::BTreeSet<_> =
                decision.ladder.rungs.iter().map(|r| &r.name).collect();
            assert_eq!(names.len(), places.len());
            assert!(decision.ladder.reasons.len() >= places.len());
        }
    }

    #[test]
    fn an_easy_source_gets_a_cheaper_top_rung_that_reaches_the_target() {
        let (hard, easy) = (decide(1.0, &Budget::default()), decide(6.0, &Budget::default()));
        assert!(easy.places[0].vmaf >= 95.0 && easy.places[0].bitrate < hard.places[0].bitrate / 3.0);
        assert!(easy.pruned.iter().any(|p| p.reason.contains("target")));
    }

    #[test]
    fn what_is_too_dear_is_left_out_and_said() {
        let all = decide(1.0, &Budget::default());
        let budget = Budget { core_seconds_per_minute: Some(30.0), ..Budget::default() };
        let some = decide(1.0, &budget);
        assert!(some.places.len() < all.places.len());
        assert_eq!(some.places.last(), all.places.last());
        assert!(some.ladder.reasons.iter().any(|r| r.contains("core-seconds")));
        let none = Budget { core_seconds_per_minute: Some(0.1), ..Budget::default() };
        let error = choose(Codec::H264, &points(1.0), &[], &none, Effort::Fast).unwrap_err();
        assert!(error.to_string().contains("faster preset"), "{error}");
        assert!(choose(Codec::H264, &[], &[], &Budget::default(), Effort::Fast).is_err());
    }
}
