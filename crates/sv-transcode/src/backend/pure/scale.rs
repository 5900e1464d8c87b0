//! Scaling by separable bicubic filters, and turning, in plain Rust.
//!
//! All inner loops run over slices of equal length, so that the compiler makes vector code of them.

use std::collections::VecDeque;
use std::sync::Arc;

use sv_core::frame::Plane;
use sv_core::{PixelFormat, Planes, VideoFrame};

use crate::Error;
use crate::backend::FilterVideo;
use crate::filter::{Crop, Plan};

/// Weights add up to this.
const ONE: i32 = 1 << 14;
/// Between the two passes samples keep so many more bits, which still fit 16 with the overshoot of
/// the filter.
const MORE: u32 = 6;

/// Keys' cubic of a half: sharp, with little ringing.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match x {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
        _ => 0.0,
    }
}

/// How the samples of one side come about: for each, where to begin and what to multiply by.
struct Taps {
    count: usize,
    starts: Vec<usize>,
    weights: Vec<i32>,
}

impl Taps {
    fn new(from: usize, to: usize) -> Self {
        let ratio = from as f64 / to as f64;
        // Going down, each sample is the mean of a wider part.
        let spread = ratio.max(1.0);
        let count = ((4.0 * spread).ceil() as usize + 1).min(from);
        let mut taps =
            Self { count, starts: Vec::with_capacity(to), weights: Vec::with_capacity(to * count) };
        for i in 0..to {
            let centre = (i as f64 + 0.5) * ratio - 0.5;
            let first = (centre - 2.0 * spread).ceil() as i64;
            let start = usize::try_from(first).unwrap_or(0).min(from - count);
            let mut weights = vec![0f64; count];
            for at in first..first + count as i64 {
                // Beyond the edge, the edge goes on.
                let inside = usize::try_from(at).unwrap_or(0).min(from - 1);
                if let Some(weight) = inside.checked_sub(start).and_then(|i| weights.get_mut(i)) {
                    *weight += cubic((at as f64 - centre) / spread);
                }
            }
            let sum: f64 = weights.iter().sum();
            let mut whole: Vec<i32> =
                weights.iter().map(|w| (w / sum * f64::from(ONE)).round() as i32).collect();
            // What rounding lost goes to the heaviest, so that flat areas stay exactly flat.
            let lost = ONE - whole.iter().sum::<i32>();
            if let Some(heaviest) = whole.iter_mut().max() {
                *heaviest += lost;
            }
            taps.starts.push(start);
            taps.weights.extend(whole);
        }
        taps
    }

    fn at(&self, i: usize) -> (usize, &[i32]) {
        (self.starts[i], &self.weights[i * self.count..(i + 1) * self.count])
    }
}

/// Scales planes of one size to another.
struct Scaler {
    from: (usize, usize),
    to: (usize, usize),
    columns: Taps,
    rows: Taps,
}

impl Scaler {
    fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        Self { from, to, columns: Taps::new(from.0, to.0), rows: Taps::new(from.1, to.1) }
    }

    fn run(&self, plane: Plane<'_>) -> Vec<u8> {
        let (w, h) = self.to;
        // Only as many narrowed rows are kept as one output row needs.
        let keep = self.rows.count;
        let mut narrow = vec![0i16; keep * w];
        let mut next = 0;
        let mut sums = vec![0i32; w];
        let mut out = Vec::with_capacity(w * h);
        for y in 0..h {
            let (start, weights) = self.rows.at(y);
            next = next.max(start);
            while next < start + keep {
                let row = plane
                    .data
                    .get(next * plane.stride..)
                    .and_then(|d| d.get(..self.from.0))
                    .unwrap_or_default();
                self.narrow(row, &mut narrow[next % keep * w..][..w]);
                next += 1;
            }
            sums.fill(1 << (13 + MORE));
            for (i, &weight) in weights.iter().enumerate().filter(|(_, w)| **w != 0) {
                let row = &narrow[(start + i) % keep * w..][..w];
                sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += weight * i32::from(sample));
            }
            out.extend(sums.iter().map(|sum| (sum >> (14 + MORE)).clamp(0, 255) as u8));
        }
        out
    }

    fn narrow(&self, row: &[u8], out: &mut [i16]) {
        if row.len() < self.from.0 {
            return;
        }
        for (x, out) in out.iter_mut().enumerate() {
            let (start, weights) = self.columns.at(x);
            let samples = &row[start..start + weights.len()];
            let sum: i32 = weights.iter().zip(samples).map(|(w, s)| w * i32::from(*s)).sum();
            *out = ((sum + (1 << (13 - MORE))) >> (14 - MORE)) as i16;
        }
    }
}

/// Turns a plane clockwise by quarters.
fn turn(plane: Vec<u8>, (w, h): (usize, usize), quarters: u8) -> Vec<u8> {
    match quarters {
        1 => (0..w).flat_map(|x| (0..h).rev().map(move |y| y * w + x)).map(|i| plane[i]).collect(),
        2 => plane.into_iter().rev().collect(),
        3 => (0..w).rev().flat_map(|x| (0..h).map(move |y| y * w + x)).map(|i| plane[i]).collect(),
        _ => plane,
    }
}

pub(super) struct Filter {
    whole: (u32, u32),
    crop: Option<Crop>,
    /// Before turning.
    to: (u32, u32),
    quarters: u8,
    luma: Option<Scaler>,
    chroma: Option<Scaler>,
    ready: VecDeque<VideoFrame>,
}

fn size(side: (u32, u32)) -> (usize, usize) {
    (side.0 as usize, side.1 as usize)
}

fn half((w, h): (usize, usize)) -> (usize, usize) {
    (w.div_ceil(2), h.div_ceil(2))
}

impl Filter {
    pub(super) fn new(plan: &Plan, first: &VideoFrame) -> Self {
        let whole = (first.width, first.height);
        let from = plan.crop.map_or(whole, |crop| (crop.width, crop.height));
        let to = plan.scale.unwrap_or(from);
        let scaler = |from, to| (from != to).then(|| Scaler::new(from, to));
        Self {
            whole,
            crop: plan.crop,
            to,
            quarters: plan.quarter_turns,
            luma: scaler(size(from), size(to)),
            chroma: scaler(half(size(from)), half(size(to))),
            ready: VecDeque::new(),
        }
    }
}

impl Filter {
    /// What is to be taken of a plane.
    fn part<'a>(&self, plane: Plane<'a>, index: usize) -> Option<Plane<'a>> {
        let Some(crop) = self.crop else { return Some(plane) };
        let share = if index == 0 { 1 } else { 2 };
        let from = crop.top as usize / share * plane.stride + crop.left as usize / share;
        Some(Plane { data: plane.data.get(from..)?, stride: plane.stride })
    }
}

/// A plane without padding between rows.
fn packed(plane: Plane<'_>, (w, h): (usize, usize)) -> Vec<u8> {
    let mut out = Vec::with_capacity(w * h);
    for y in 0..h {
        out.extend_from_slice(
            plane.data.get(y * plane.stride..).and_then(|d| d.get(..w)).unwrap_or_default(),
        );
    }
    out.resize(w * h, 128);
    out
}

impl FilterVideo for Filter {
    fn push(&mut self, frame: &VideoFrame) -> Result<(), Error> {
        let mut planes = Vec::with_capacity(3);
        for index in 0..3 {
            let Some(plane) = frame.picture.plane(index).and_then(|plane| self.part(plane, index)) else {
                return Err(Error::Invalid("the picture's samples can't be read".into()));
            };
            let (scaler, to) = match index {
                0 => (&self.luma, size(self.to)),
                _ => (&self.chroma, half(size(self.to))),
            };
            let scaled = match scaler {
                Some(scaler) => scaler.run(plane),
                None => packed(plane, to),
            };
            let width = if self.quarters % 2 == 1 { to.1 } else { to.0 };
            planes.push((turn(scaled, to, self.quarters), width));
        }
        let (width, height) = if self.quarters % 2 == 1 { (self.to.1, self.to.0) } else { self.to };
        let picture = Arc::new(Planes { format: PixelFormat::Yuv420p8, planes });
        self.ready.push_back(VideoFrame { width, height, picture, ..frame.clone() });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<VideoFrame>, Error> {
        Ok(self.ready.pop_front())
    }

    fn accepts(&self, frame: &VideoFrame) -> bool {
        (frame.width, frame.height) == self.whole && frame.picture.format() == PixelFormat::Yuv420p8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_stays_flat_and_ramps_stay_straight() {
        for (from, to) in [((64, 48), (32, 24)), ((64, 48), (127, 95)), ((65, 33), (16, 8)), ((8, 8), (3, 3))]
        {
            let scaler = Scaler::new(from, to);
            let flat = vec![200u8; from.0 * from.1];
            let out = scaler.run(Plane { data: &flat, stride: from.0 });
            assert!(out.iter().all(|s| *s == 200), "{from:?} to {to:?}");
        }
        let ramp: Vec<u8> = (0..256u32).map(|x| x as u8).collect();
        let out = Scaler::new((256, 1), (64, 1)).run(Plane { data: &ramp, stride: 256 });
        for (i, sample) in out.iter().enumerate().skip(2).take(60) {
            let centre = (i as f64 + 0.5) * 4.0 - 0.5;
            assert!((f64::from(*sample) - centre).abs() <= 1.0, "{i}: {sample}");
        }
    }

    #[test]
    fn turns_are_clockwise() {
        let plane = vec![1, 2, 3, 4, 5, 6];
        assert_eq!(turn(plane.clone(), (3, 2), 1), [4, 1, 5, 2, 6, 3]);
        assert_eq!(turn(plane.clone(), (3, 2), 2), [6, 5, 4, 3, 2, 1]);
        assert_eq!(turn(plane, (3, 2), 3), [3, 6, 2, 5, 1, 4]);
    }
}
