//! Measures sound before it is encoded, and finds the gains.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sv_core::{Frame, Item, Source as _, TrackId};
use sv_pipeline::Cancel;
use sv_transcode::audio::Rendition;
use sv_transcode::loudness::{Loudness, Meter, Target};
use sv_transcode::{decode, filter};

use super::Levelled;
use super::plan::Sound;
use crate::input::Input;
use crate::title::through;
use crate::{Error, Result};

/// Where the limiter has work to do, sound comes out quieter than the gain alone would make it: so
/// often is the gain corrected, until this near to the target, in LU.
const CORRECTIONS: u32 = 4;
const NEAR: f64 = 0.2;

/// The gain for each rendition. `source` opens the source anew: it's read once, and once more for
/// each correction.
pub(super) fn find(
    source: &dyn Fn() -> Result<Input>,
    sounds: &[(&Sound, &Rendition)],
    target: Target,
    cancel: &Cancel,
) -> Result<Vec<Levelled>> {
    let plain = sounds.iter().map(|(_, rendition)| rendition.filter()).collect();
    let mut levels: Vec<Levelled> = measure(source()?, sounds, plain, cancel)?
        .into_iter()
        .zip(sounds)
        .map(|(measured, (sound, _))| {
            let (rendition, gain) = (sound.name.clone(), target.gain(&measured));
            Levelled { rendition, measured, gain }
        })
        .collect();
    let limited = |level: &Levelled| level.measured.true_peak + level.gain > target.ceiling();
    if !levels.iter().any(limited) {
        return Ok(levels);
    }
    for _ in 0..CORRECTIONS {
        let shapes = sounds
            .iter()
            .zip(&levels)
            .map(|((_, rendition), level)| level.shape(rendition, target))
            .collect();
        let reached = measure(source()?, sounds, shapes, cancel)?;
        let mut near = true;
        for (level, reached) in levels.iter_mut().zip(reached) {
            let Some(loud) = reached.integrated.filter(|_| limited(level)) else { continue };
            let off = target.integrated - loud;
            near &= off.abs() <= NEAR;
            level.gain = (level.gain + off).clamp(-60.0, Target::MOST_GAIN);
        }
        if near {
            break;
        }
    }
    Ok(levels)
}

impl Levelled {
    /// How to filter for it.
    pub(super) fn shape(&self, rendition: &Rendition, target: Target) -> filter::Audio {
        let mut shape = rendition.filter();
        (shape.gain, shape.ceiling) = (self.gain as f32, Some(target.ceiling() as f32));
        shape
    }
}

/// How loud each rendition is in these shapes. One reading of the source serves all of them.
fn measure(
    mut input: Input,
    sounds: &[(&Sound, &Rendition)],
    shapes: Vec<filter::Audio>,
    cancel: &Cancel,
) -> Result<Vec<Loudness>> {
    let mut decoders: BTreeMap<TrackId, sv_transcode::Stage> = BTreeMap::new();
    let mut meters = Vec::new();
    for ((sound, rendition), shape) in sounds.iter().zip(shapes) {
        let track = &sound.track;
        if let Entry::Vacant(place) = decoders.entry(track.id) {
            place.insert(decode::open(track, &decode::Options::default())?);
        }
        let meter = Meter::new(rendition.sample_rate, rendition.channels)?;
        meters.push((track.id, filter::audio(track, &shape)?, meter));
    }
    loop {
        if cancel.is_cancelled() {
            return Err(Error::new(sv_core::ErrorKind::Cancelled, "the run was cancelled"));
        }
        let item = input.next_item()?;
        let ended = item.is_none();
        let track = item.as_ref().and_then(Item::track);
        for (id, decoder) in decoders.iter_mut().filter(|(id, _)| ended || track == Some(**id)) {
            let items = through(decoder, item.clone().into_iter().collect(), ended)?;
            for (_, shape, meter) in meters.iter_mut().filter(|(of, ..)| of == id) {
                for item in through(shape, items.clone(), ended)? {
                    if let Item::Frame(_, Frame::Audio(frame)) = item {
                        meter.push(&frame.samples)?;
                    }
                }
            }
        }
        if ended {
            return Ok(meters.iter().map(|(_, _, meter)| meter.loudness()).collect());
        }
    }
}
