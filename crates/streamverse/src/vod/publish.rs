//! The end of a run: manifests, the report, and the name that makes it whole.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sv_core::{ErrorKind, Event};
use sv_package::{Rendition as Record, Role, Tiles};

use super::plan::{self, Plan};
use super::{Levelled, Rendition, Report, Request};
use crate::cost::{self, Clock, Receipt};
use crate::damage::Damage;
use crate::finish::Shared;
use crate::manifests;
use crate::meter::Meter;
use crate::thumbnails::{self, Thumbnails};
use crate::work::Work;
use crate::{Error, Result, text};

/// A picture of the beginning. A source that gives none is no reason to fail.
pub(super) fn poster(plan: &Plan, work: &Shared, meter: &Meter) -> Option<String> {
    const NAME: &str = "poster.jpg";
    let video = plan.video.as_ref()?;
    let made = plan::make_poster(video, plan).and_then(|jpeg| {
        let object = sv_core::Object::whole(NAME, "image/jpeg", jpeg);
        work.lock().unwrap_or_else(PoisonError::into_inner).put(object)
    });
    match made {
        Ok(()) => Some(NAME.to_owned()),
        Err(error) => {
            meter.tell(Event::Warning { message: format!("no poster could be made: {error}") });
            None
        }
    }
}

/// What a run knows at its end.
pub(super) struct Made {
    pub(super) poster: Option<String>,
    pub(super) resumed: u64,
    pub(super) begun: Clock,
    pub(super) far: Duration,
    pub(super) damage: Vec<Damage>,
    pub(super) levels: Vec<Levelled>,
}

pub(super) fn publish(
    request: &Request,
    plan: &Plan,
    work: Shared,
    meter: &Meter,
    made: Made,
) -> Result<Report> {
    let mut work = Arc::into_inner(work)
        .and_then(|w| w.into_inner().ok())
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a writer is still at work"))?;
    let mut records = work.take(&plan.names());
    for picture in plan.video.iter().flat_map(|video| &video.rungs).filter(|one| one.carries_captions()) {
        for record in records.iter_mut().filter(|record| record.name == picture.name) {
            record.info.carried.clone_from(&plan.captions.carried);
        }
    }
    let length = records.iter().map(Record::duration).max().unwrap_or_default();
    let mut warnings = plan.warnings.clone();
    warnings.extend(made.damage.iter().map(ToString::to_string));
    for subtitles in &plan.texts {
        match subtitles.read(plan) {
            Ok(vtt) => {
                let vtt = text::on_clock(vtt, request.form);
                let language = subtitles.track.language.clone();
                let track = text::track(language);
                records.push(text::store(&mut work, &subtitles.name, &track, Vec::new(), vtt, length)?);
            }
            Err(error) => warnings.push(format!("subtitles {} are left out: {error}", subtitles.name)),
        }
    }
    for (name, said, document) in &plan.captions.texts {
        let Some(video) = &plan.video else { break };
        let vtt = text::on_clock(document.to_string(), request.form);
        let track = text::of_captions(said, &video.track);
        records.push(text::store(&mut work, name, &track, vec![Role::Caption], vtt, length)?);
    }
    let tiles = request.thumbnails.as_ref().and_then(|wanted| {
        let made = tiles(plan, &mut work, wanted, length);
        made.map_err(|error| warnings.push(format!("no thumbnails could be made: {error}"))).ok().flatten()
    });
    let wanted = manifests::Wanted {
        inband: false,
        marks: plan.marked.marks.clone(),
        hls: request.hls,
        dash: request.dash,
        event: false,
        license_url: request.license_url.clone(),
        key_url: request.encryption.as_ref().and_then(|e| e.key_url.clone()),
        tiles,
        steering: request.steering.clone(),
    };
    let manifests = manifests::write(&mut work, &records, &wanted)?;
    let elapsed_ms = meter.elapsed().as_millis() as u64;
    let mut report = Report {
        renditions: records.iter().map(describe).collect(),
        reasons: plan.reasons.clone(),
        decisions: plan.decided.as_ref().map(|d| d.decisions.clone()).unwrap_or_default(),
        manifests: manifests.clone(),
        duration_ms: length.as_millis() as u64,
        poster: made.poster,
        warnings,
        resumed_segments: made.resumed,
        damage: made.damage,
        loudness: made.levels,
        elapsed_ms,
        receipt: None,
    };
    let mut spent = made.begun.spent();
    spent.cpu += made.far;
    report.receipt = Some(Receipt::new(spent, cost::stored(&report), length, request.prices.as_ref()));
    for decision in &report.decisions {
        let name = format!("ladder-{}.svg", decision.codec);
        work.put(sv_core::Object::whole(name, "image/svg+xml", decision.svg().into_bytes()))?;
    }
    let json = serde_json::to_vec_pretty(&report)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the report can't be written: {e}")))?;
    work.put(sv_core::Object::whole("report.json", "application/json", json))?;
    work.publish()?;
    for message in &report.warnings {
        meter.tell(Event::Warning { message: message.clone() });
    }
    meter.tell(Event::Finished { manifests, elapsed_ms });
    Ok(report)
}

/// Thumbnails of a source that has pictures.
fn tiles(plan: &Plan, work: &mut Work, wanted: &Thumbnails, length: Duration) -> Result<Option<Tiles>> {
    let Some(video) = &plan.video else { return Ok(None) };
    let mut input = plan.source.again()?;
    input.rebase(plan.start);
    thumbnails::make(input, &video.track, video.crop, wanted, length, |object| work.put(object)).map(Some)
}

fn describe(record: &Record) -> Rendition {
    let rate = record.bandwidth();
    Rendition {
        name: record.name.clone(),
        kind: match record.info.kind {
            sv_core::TrackKind::Video if record.trick_play_of.is_some() => "trick".into(),
            sv_core::TrackKind::Video => "video".into(),
            sv_core::TrackKind::Audio => "audio".into(),
            sv_core::TrackKind::Text => "text".into(),
        },
        codec: record.info.codec.clone(),
        width: record.info.size.map(|s| s.0),
        height: record.info.size.map(|s| s.1),
        frame_rate: record.frame_rate(),
        average_bandwidth: rate.average,
        bandwidth: rate.peak,
        language: record.info.language.clone(),
        bytes: record.bytes(),
    }
}
