//! Looks for black bars.

use std::sync::Arc;
use std::time::Duration;

use sv_core::{Frame, Item, Media, Ratio, Source as _, TimeBase, Timestamp, Track, VideoFrame};
use sv_transcode::bars::Detector;
use sv_transcode::filter::{self, Crop};
use sv_transcode::{Stage, decode};

use crate::Result;
use crate::input::Input;
use crate::title::through;

/// Pictures that are looked at: the first behind key frames all over the film.
const PLACES: u32 = 24;

/// Pictures that are decoded at most to get to a place that has no key frame of its own.
const MOST: usize = 500;

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
    let mut scout = input.again()?;
    scout.select(&[track.id]);
    let start = scout.find_start()?;
    // No picture is looked at twice, however far key frames lie apart.
    let mut last: Option<Timestamp> = None;
    for place in 0..PLACES {
        let mut input = input.again()?;
        input.select(&[track.id]);
        input.rebase(start);
        let at = length.mul_f64((f64::from(place) + 0.5) / f64::from(PLACES));
        if at > Duration::ZERO {
            input.seek(at)?;
        }
        let mut stages: [Stage; 2] =
            [decode::open(track, &decode::Options::default())?, filter::video(&shown, &config)?];
        let wanted = Place { last, at: at.as_secs_f64(), base: track.time_base };
        if let Some(frame) = picture(&mut input, &mut stages, &wanted)? {
            last = last.max(Some(frame.pts));
            detector.look(&frame);
        }
        if length.is_zero() {
            break;
        }
    }
    Ok(detector.crop().filter(|crop| track.video().is_some_and(|v| crop.fits(v.width, v.height))))
}

/// Which picture to look at: the first one behind the last, or else the one at its moment, in seconds.
struct Place {
    last: Option<Timestamp>,
    at: f64,
    base: TimeBase,
}

fn picture(input: &mut Input, stages: &mut [Stage], place: &Place) -> Result<Option<VideoFrame>> {
    let mut passed = 0;
    loop {
        // A place that can't be read is told of when the film is encoded.
        let Ok(item) = input.next_item() else { return Ok(None) };
        let ended = item.is_none();
        let mut items: Vec<Item> = item.into_iter().collect();
        for stage in stages.iter_mut() {
            items = through(stage, items, ended)?;
        }
        for item in items {
            let Item::Frame(_, Frame::Video(frame)) = item else { continue };
            let new = place.last.is_none_or(|last| frame.pts > last);
            if new && (passed == 0 || frame.pts.to_seconds(place.base) >= place.at) {
                return Ok(Some(frame));
            }
            passed += 1;
        }
        if ended || passed > MOST {
            return Ok(None);
        }
    }
}
