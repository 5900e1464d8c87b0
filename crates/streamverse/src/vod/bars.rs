//! Looks for black bars.

use std::sync::Arc;
use std::time::Duration;

use sv_core::{Frame, Item, Media, Ratio, Source as _, Track};
use sv_transcode::bars::Detector;
use sv_transcode::filter::{self, Crop};
use sv_transcode::{Stage, decode};

use crate::Result;
use crate::input::Input;
use crate::title::through;

/// Pictures that are looked at: the first behind key frames all over the film.
const PLACES: u32 = 24;

/// What is left of the pictures without bars.
pub(super) fn find(input: &Input, track: &Arc<Track>) -> Result<Option<Crop>> {
    // Bars are measured in the picture as it is coded: neither turned nor stretched, and with its fields.
    let mut shown = Track::clone(track);
    if let Media::Video(video) = &mut shown.media {
        (video.sample_aspect, video.quarter_turns, video.interlaced) = (Ratio::ONE, 0, false);
    }
    let mut config = filter::Video::default();
    config.deinterlace = filter::Deinterlace::Never;
    let mut detector = Detector::default();
    let length = input.duration.unwrap_or_default();
    for place in 0..PLACES {
        let mut input = input.again()?;
        input.select(&[track.id]);
        let at = length.mul_f64((f64::from(place) + 0.5) / f64::from(PLACES));
        if at > Duration::ZERO {
            input.seek(at)?;
        }
        let mut stages: [Stage; 2] =
            [decode::open(track, &decode::Options::default())?, filter::video(&shown, &config)?];
        if let Some(frame) = first_picture(&mut input, &mut stages)? {
            detector.look(&frame);
        }
        if length.is_zero() {
            break;
        }
    }
    Ok(detector.crop().filter(|crop| track.video().is_some_and(|v| crop.fits(v.width, v.height))))
}

fn first_picture(input: &mut Input, stages: &mut [Stage]) -> Result<Option<sv_core::VideoFrame>> {
    loop {
        // A place that can't be read is told of when the film is encoded.
        let Ok(item) = input.next_item() else { return Ok(None) };
        let ended = item.is_none();
        let mut items: Vec<Item> = item.into_iter().collect();
        for stage in stages.iter_mut() {
            items = through(stage, items, ended)?;
        }
        for item in items {
            if let Item::Frame(_, Frame::Video(frame)) = item {
                return Ok(Some(frame));
            }
        }
        if ended {
            return Ok(None);
        }
    }
}
