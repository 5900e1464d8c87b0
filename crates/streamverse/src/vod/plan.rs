//! Decides what to make of a source before anything is made.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sv_container::webvtt;
use sv_core::{
    Codec, ErrorKind, Frame, Item, Media, Source as _, TimeBase, Timestamp, Track, TrackId, TrackKind,
};
use sv_package::Carried;
use sv_transcode::filter::Crop;
use sv_transcode::{Device, Ladder, Rung, audio, decode, encode, filter, poster};

use super::decided::Decided;
use super::{CaptionChoice, CropChoice, FilmGrain, LadderChoice, Request, bars};
use crate::captions;
use crate::cues::{self, Marked};
use crate::damage::Ledger;
use crate::finish::{check_codec, check_factors, check_form, trick_name};
use crate::input::{Input, Prefer};
use crate::names::Names;
use crate::place;
use crate::title::{self, through};
use crate::{Error, Result};

/// What will be made.
#[derive(Debug)]
pub(super) struct Plan {
    /// The source; whoever reads it takes [`Input::again`].
    pub(super) source: Input,
    pub(super) video: Option<Video>,
    pub(super) sounds: Vec<Sound>,
    pub(super) texts: Vec<Subtitles>,
    pub(super) captions: Captions,
    /// What manifests tell of, and where segments end for its sake.
    pub(super) marked: Marked,
    pub(super) duration: Option<Duration>,
    /// When the source's timeline begins, in nanoseconds.
    pub(super) start: Timestamp,
    pub(super) reasons: Vec<String>,
    /// The ladder that was found out, if one was asked for.
    pub(super) decided: Option<Decided>,
    pub(super) warnings: Vec<String>,
    /// What does the work on pictures, if not software.
    pub(super) device: Option<Device>,
    /// Decides whether an earlier run's work can be used.
    pub(super) fingerprint: String,
}

#[derive(Debug)]
pub(super) struct Video {
    pub(super) track: Arc<Track>,
    /// What of its pictures is shown, if not all.
    pub(super) crop: Option<Crop>,
    pub(super) rungs: Vec<Picture>,
}

/// What becomes of the captions in the source's pictures.
#[derive(Debug, Default)]
pub(super) struct Captions {
    /// What renditions that can carry them do.
    pub(super) carried: Vec<Carried>,
    pub(super) data: Arc<captions::Data>,
    /// What is made of them: renditions by name.
    pub(super) texts: Vec<(String, Carried, webvtt::Document)>,
}

/// One video rendition.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) name: String,
    pub(super) rung: Rung,
    /// Its fast motion, if it is the one that has some: of every so many key frames, and the rendition's name.
    pub(super) tricks: Vec<(u32, String)>,
}

/// One audio rendition.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) name: String,
    pub(super) track: Arc<Track>,
    /// How to make it; `None` keeps the source's packets as they are.
    pub(super) rendition: Option<audio::Rendition>,
}

/// One subtitle rendition.
#[derive(Debug)]
pub(super) struct Subtitles {
    pub(super) name: String,
    pub(super) track: Arc<Track>,
}

/// The device that was asked for.
fn device(request: &Request) -> Result<Option<Device>> {
    let Some(name) = &request.device else { return Ok(None) };
    if request.workers.is_some() {
        let message = "a device encodes a film in one go: leave either the device or the workers out";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(Some(Device::open(name)?))
}

impl Plan {
    pub(super) fn of(request: &Request) -> Result<Self> {
        check_factors(&request.trick_play)?;
        check_form(request.form, request.hls, request.dash, request.encryption.as_ref())?;
        let device = device(request)?;
        let input = Input::open(&request.input, Prefer::Backend)?;
        let duration = input.duration;
        let tracks = input.tracks.clone();
        if let Some(track) = tracks.iter().find(|t| t.protection.is_some()) {
            let message = format!("track {} is encrypted; decrypt the source first", track.id.0);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let mut names = Names::default();
        let mut reasons = Vec::new();
        let mut warnings = Vec::new();
        let mut decided = None;
        let video = tracks.iter().find(|t| t.kind() == TrackKind::Video);
        let video = video
            .map(|t| pictures(t, request, &input, &mut names, &mut reasons, &mut decided))
            .transpose()?;
        let sounds = sounds(&tracks, request, &mut names, &mut warnings)?;
        if video.is_none() {
            reasons.push("there are no pictures in the source, so only sound is made".into());
        }
        if sounds.is_empty() {
            reasons.push("there is no sound in the source, so none is made".into());
        }
        let texts = tracks
            .iter()
            .filter(|t| t.codec == Codec::WebVtt)
            .map(|track| Subtitles { name: names.for_track(track), track: Arc::clone(track) });
        let texts = texts.collect();

        let wanted: Vec<TrackId> =
            video.iter().map(|v| v.track.id).chain(sounds.iter().map(|s| s.track.id)).collect();
        let mut scout = input.again()?;
        scout.select(&wanted);
        let mut start = scout.find_start()?;
        let mut duration = duration;
        if let Some(window) = request.window {
            start = start.offset(i64::try_from(window.at.as_nanos()).unwrap_or(i64::MAX));
            duration = Some(window.length);
        }
        let captions = match &video {
            Some(video) => heard(request, &input, video, start, &mut names, &mut warnings)?,
            None => Captions::default(),
        };
        let asked = cues::asked(&request.ad_cues)?;
        let told = if request.cues { cues::Survey::told(&input, start) } else { cues::Survey::default() };
        let mut marked = cues::marks(asked, &request.interstitials, vec![told.within(duration)]);
        if let Some(end) = request.window.map(|window| window.length) {
            marked.cuts.retain(|at| *at < end);
        }
        warnings.append(&mut marked.warnings);
        let mut plan = Self {
            source: input,
            video,
            sounds,
            texts,
            captions,
            marked,
            duration,
            start,
            reasons,
            decided,
            warnings,
            device,
            fingerprint: String::new(),
        };
        plan.fingerprint = plan.fingerprint(request)?;
        Ok(plan)
    }

    /// Every rendition that is encoded, in order of falling quality; subtitles come later.
    pub(super) fn names(&self) -> Vec<String> {
        let pictures = self.video.iter().flat_map(|v| &v.rungs);
        let tricks = self.video.iter().flat_map(|v| &v.rungs).flat_map(|r| &r.tricks);
        let tricks = tricks.map(|(_, name)| name.clone());
        pictures
            .map(|r| r.name.clone())
            .chain(self.sounds.iter().map(|s| s.name.clone()))
            .chain(tricks)
            .collect()
    }

    fn fingerprint(&self, request: &Request) -> Result<String> {
        let source = place::stat(&request.input)?;
        let rungs: Vec<_> = self.video.iter().flat_map(|v| &v.rungs).map(|r| (&r.name, &r.rung)).collect();
        let sounds: Vec<_> = self.sounds.iter().map(|s| (&s.name, s.track.id, &s.rendition)).collect();
        let encryption = request.encryption.as_ref().map(|e| {
            let keys: Vec<_> =
                e.keys.iter().map(|(label, kid, _)| (label.map(sv_drm::Label::name), kid)).collect();
            let pssh = e.pssh.iter().flatten().map(|b| b.to_vec()).collect::<Vec<_>>();
            (e.scheme, keys, e.clear_lead, e.crypto_period, pssh, e.pssh_in_stream)
        });
        let mut all = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "input": [source.name],
            "bytes": source.bytes,
            "modified": source.version,
            "rungs": rungs,
            "sounds": sounds,
            "segment": request.segment.as_millis().to_string(),
            "encryption": encryption,
            "single_file": request.single_file,
            "form": request.form,
            "preset": request.preset,
            "encoder": request.encoder,
            "device": request.device,
            "loudness": request.loudness,
            "crop": self.video.as_ref().and_then(|v| v.crop),
            "chunk": request.workers.as_ref().map(|_| request.chunk.as_millis().to_string()),
        });
        // Nothing is said where there is nothing, so that runs of earlier requests go on.
        if !self.marked.cuts.is_empty() {
            all["cuts"] = json!(self.marked.cuts);
        }
        if !self.captions.data.is_empty() {
            all["captions"] = json!(true);
        }
        if request.names_by_time {
            all["names"] = json!("time");
        }
        if request.trick_play != [1] {
            all["trick"] = json!(request.trick_play);
        }
        Ok(all.to_string())
    }
}

/// The captions that the source's pictures carry, as far as something is to be made of them.
fn heard(
    request: &Request,
    input: &Input,
    video: &Video,
    start: Timestamp,
    names: &mut Names,
    warnings: &mut Vec<String>,
) -> Result<Captions> {
    let wish = request.captions;
    if wish == CaptionChoice::Drop || request.window.is_some() || !captions::may_carry(&video.track) {
        return Ok(Captions::default());
    }
    let scan = |wanted: captions::Wanted| {
        let mut input = input.again()?;
        input.select(&[video.track.id]);
        input.rebase(start);
        // Damage is told of when the pictures are decoded.
        input.forgive(&Ledger::default());
        captions::scan(input, &video.track, wanted)
    };
    if wish == CaptionChoice::Auto && !scan(captions::Wanted::default())?.some {
        return Ok(Captions::default());
    }
    let data = video.rungs.iter().any(Picture::carries_captions);
    let text = wish == CaptionChoice::Extract;
    let found = match scan(captions::Wanted { text, data }) {
        Err(error) if wish == CaptionChoice::Auto => {
            warnings.push(format!("captions are left out: {error}"));
            return Ok(Captions::default());
        }
        found => found?,
    };
    let texts = found.texts.into_iter().map(|(said, document)| {
        (names.unique(&format!("text-{}", said.name.to_lowercase())), said, document)
    });
    Ok(Captions { texts: texts.collect(), carried: found.carried, data: Arc::new(found.data) })
}

fn pictures(
    track: &Arc<Track>,
    request: &Request,
    input: &Input,
    names: &mut Names,
    reasons: &mut Vec<String>,
    decided: &mut Option<Decided>,
) -> Result<Video> {
    let Some(info) = track.video() else {
        return Err(Error::new(ErrorKind::Internal, "a video track without picture properties"));
    };
    if info.alpha && !request.drop_alpha {
        let message = "the pictures have an alpha channel, and no codec of a ladder keeps transparency; put \
                       them over a background first, or drop the channel (--drop-alpha)";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if info.alpha {
        reasons.push("the source's alpha channel is dropped, as asked for".into());
    }
    // Fails here, and not after the output folder has been made.
    decode::open(track, &request.decoder.options(&Ledger::default(), track))?;
    let crop = match request.crop {
        CropChoice::Whole => None,
        CropChoice::Bars => bars::find(input, track)?,
        CropChoice::To(crop) if crop.fits(info.width, info.height) => Some(crop),
        CropChoice::To(_) => {
            let (w, h) = (info.width, info.height);
            let message = format!("the part to show must lie in the picture of {w}x{h}, with even numbers");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
    };
    let mut info = info.clone();
    if let Some(crop) = crop {
        reasons.push(format!(
            "of the picture of {}x{}, {}x{} are shown, {} from the left and {} from the top",
            info.width, info.height, crop.width, crop.height, crop.left, crop.top
        ));
        (info.width, info.height) = (crop.width, crop.height);
    }
    let info = &info;
    let bitrate = track.bitrate.or_else(|| {
        let seconds = input.duration?.as_secs_f64();
        let bytes = place::stat(&request.input).ok()?.bytes;
        (seconds > 0.0).then(|| (bytes as f64 * 8.0 / seconds) as u64)
    });
    let ladder = match &request.ladder {
        LadderChoice::Auto => Ladder::auto(info, bitrate, &request.codecs),
        LadderChoice::Fixed => Ladder::fixed(info, &request.codecs),
        LadderChoice::Title(budget) => {
            let found = match Decided::find(request, budget, crop)? {
                Some(found) => found.decisions,
                None => {
                    let decide = |codec: &Codec| {
                        title::decide(input, track, crop, *codec, budget, request.preset, request.segment)
                    };
                    request.codecs.iter().map(decide).collect::<Result<_>>()?
                }
            };
            let mut ladder = Ladder::default();
            for decision in &found {
                ladder.rungs.extend(decision.ladder.rungs.iter().cloned());
                ladder.reasons.extend(decision.ladder.reasons.iter().cloned());
            }
            *decided = Some(Decided::new(request, budget, crop, found)?);
            ladder
        }
        LadderChoice::Rungs(ladder) => {
            ladder.check(info)?;
            ladder.clone()
        }
        LadderChoice::File(path) => {
            let what = || format!("the ladder {} can't be used", path.display());
            let text = std::fs::read_to_string(path).map_err(|e| Error::from(e).context(what()))?;
            let ladder: Ladder = toml::from_str(&text)
                .map_err(|e| Error::new(ErrorKind::InvalidInput, e.message().to_owned()).context(what()))?;
            ladder.check(info).map_err(|e| Error::from(e).context(what()))?;
            ladder
        }
    };
    if ladder.rungs.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "no rendition is left of the ladder for this source",
        ));
    }
    reasons.extend(ladder.reasons.iter().cloned());
    let grain = match request.film_grain {
        FilmGrain::Encode => None,
        FilmGrain::Describe(strength) => Some(strength),
        FilmGrain::Measure if !request.codecs.contains(&Codec::Av1) => None,
        FilmGrain::Measure => {
            let noise = title::noise(input, track, crop)?;
            let strength = noise.film_grain();
            reasons.push(match strength {
                Some(strength) => format!(
                    "the pictures have grain (a deviation of {:.1}): AV1 describes it at strength {strength}",
                    noise.sigma
                ),
                None => "the pictures have too little grain to describe it".into(),
            });
            strength
        }
    };
    let mut rungs = Vec::new();
    for mut rung in ladder.rungs {
        let codec = rung.codec()?;
        rung.encode()?;
        if !encode::is_supported(codec) {
            // The encoder's own error says what would switch it on.
            encode::video(&rung.encode()?, track.id)?;
        }
        check_codec(request.form, request.encryption.as_ref(), codec)?;
        if let Some(encryption) = &request.encryption {
            let mut shown = Track::clone(track);
            if let Media::Video(video) = &mut shown.media {
                (video.width, video.height) = (rung.width, rung.height);
            }
            encryption.check(&shown)?;
        }
        if !matches!(request.ladder, LadderChoice::File(_) | LadderChoice::Rungs(_)) {
            // A measured ladder says itself how much effort each rung is worth.
            if !matches!(request.ladder, LadderChoice::Title(_)) {
                rung.effort = request.preset;
            }
            rung.film_grain = grain.filter(|_| codec == Codec::Av1);
        }
        rungs.push(Picture { name: names.unique(&rung.id()), rung, tricks: Vec::new() });
    }
    if request.dash {
        // One fast motion for each codec, made of its smallest rung.
        for codec in &request.codecs {
            let smallest = rungs
                .iter_mut()
                .filter(|r| r.rung.codec == codec.name())
                .min_by_key(|r| u64::from(r.rung.width) * u64::from(r.rung.height));
            if let Some(picture) = smallest {
                let name = |nth: &u32| names.unique(&trick_name(&picture.name, *nth));
                picture.tricks =
                    request.trick_play.iter().copied().zip(request.trick_play.iter().map(name)).collect();
            }
        }
    }
    Ok(Video { track: Arc::clone(track), crop, rungs })
}

fn sounds(
    tracks: &[Arc<Track>],
    request: &Request,
    names: &mut Names,
    warnings: &mut Vec<String>,
) -> Result<Vec<Sound>> {
    let aac = request.form != sv_package::Form::WebM && encode::is_supported(Codec::Aac);
    let usual = if aac { Codec::Aac } else { Codec::Opus };
    let codec = request.audio_codec.unwrap_or(usual);
    if !encode::is_supported(codec) {
        // The encoder's own error says what would switch it on.
        encode::audio(&encode::Audio::new(codec, 128_000), TrackId(1))?;
    }
    check_codec(request.form, request.encryption.as_ref(), codec)?;
    let mut sounds: Vec<Sound> = Vec::new();
    for track in tracks.iter().filter(|t| t.kind() == TrackKind::Audio) {
        let Some(info) = track.audio() else { continue };
        request.encryption.as_ref().map(|e| e.check(track)).transpose()?;
        let language = track.language.as_deref().filter(|l| *l != "und");
        let language = language.map(|l| format!("-{l}")).unwrap_or_default();
        let mut add = |codec: &str, channels: u16, rendition| {
            let name = names.unique(&format!("audio-{codec}-{channels}ch{language}"));
            sounds.push(Sound { name, track: Arc::clone(track), rendition });
        };
        let kept = request.keep_audio.contains(&track.codec);
        if kept {
            check_codec(request.form, request.encryption.as_ref(), track.codec)?;
            add(track.codec.name(), info.channels, None);
        }
        // A second track in a language that nothing here decodes is no reason to refuse the film.
        if let Err(error) = decode::open(track, &decode::Options::default()) {
            if !kept {
                warnings.push(format!("sound track {} is left out: {error}", track.id.0));
            }
            continue;
        }
        for rendition in audio::plan(info, codec) {
            if kept && track.codec == codec && rendition.channels == info.channels {
                // It would be the same again, only worse.
                continue;
            }
            add(&rendition.codec.clone(), rendition.channels, Some(rendition));
        }
    }
    Ok(sounds)
}

impl Picture {
    /// Whether captions are put into its pictures.
    pub(super) fn carries_captions(&self) -> bool {
        self.rung.codec().is_ok_and(sv_codec::captions::can_carry)
    }
}

impl Subtitles {
    /// Reads the whole track as one WebVTT text.
    pub(super) fn read(&self, plan: &Plan) -> Result<String> {
        let mut input = plan.source.again()?;
        input.select(&[self.track.id]);
        input.rebase(plan.start);
        let mut document = webvtt::Document::default();
        while let Some(item) = input.next_item()? {
            let Item::Packet(packet) = item else { continue };
            let start = packet.pts.rescale(self.track.time_base, TimeBase::MILLIS);
            let length = packet.duration.rescale(self.track.time_base, TimeBase::MILLIS);
            if start < Timestamp::ZERO {
                continue;
            }
            let cue = webvtt::sample::cue(&packet.data);
            document.blocks.push(webvtt::Block::Cue(webvtt::Cue {
                start,
                end: start.saturating_add(length),
                // Matroska keeps the line ends that the subtitles came with.
                text: cue.text.replace('\r', ""),
                ..cue
            }));
        }
        Ok(document.to_string())
    }
}

/// A JPEG of a picture near the beginning.
pub(super) fn make_poster(video: &Video, plan: &Plan) -> Result<Vec<u8>> {
    const WIDTH: u32 = 640;
    // Many films begin in black: a tenth of the way in, and no more than ten seconds.
    let at = plan.duration.map_or(Duration::ZERO, |d| (d / 10).min(Duration::from_secs(10)));
    let mut input = plan.source.again()?;
    input.select(&[video.track.id]);
    input.rebase(plan.start);
    input.seek(at)?;
    let mut config = filter::Video::default();
    config.crop = video.crop;
    config.bit_depth = Some(8);
    config.dynamic_range = filter::DynamicRange::Standard;
    let mut stages =
        [decode::open(&video.track, &decode::Options::default())?, filter::video(&video.track, &config)?];
    let mut found = None;
    loop {
        let item = input.next_item()?;
        let ended = item.is_none();
        let mut items: Vec<Item> = item.into_iter().collect();
        for stage in &mut stages {
            items = through(stage, items, ended)?;
        }
        for item in items {
            let Item::Frame(_, Frame::Video(frame)) = item else { continue };
            // Decoding begins at the key frame before; a short source may end before its moment.
            let reached = frame.pts.to_seconds(video.track.time_base) >= at.as_secs_f64();
            let picture = found.insert(frame);
            if reached {
                return Ok(poster::jpeg(picture, WIDTH)?);
            }
        }
        if ended {
            let picture =
                found.ok_or_else(|| Error::new(ErrorKind::Malformed, "the source gives no picture"))?;
            return Ok(poster::jpeg(&picture, WIDTH)?);
        }
    }
}
