//! Packages files as they are: HLS and DASH without encoding anything anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sv_core::{ErrorKind, Event, Item, Stage as _, Track, TrackKind};
use sv_package::{Carried, Form, Layout, Rendition, Role, Steering, TrickPlay};
use sv_pipeline::Cancel;
use sv_pipeline::graph::{Failure, Graph};

use crate::cues::Marked;
use crate::finish::{Common, Finish, check_codec, check_factors, check_form, trick_name};
use crate::input::{Input, Prefer};
use crate::manifests::{self, Wanted};
use crate::meter::Meter;
use crate::names::Names;
use crate::pick::Pick;
use crate::thumbnails::{self, Thumbnails};
use crate::vod::{Encryption, Handle};
use crate::work::Work;
use crate::{AdCue, Between, Error, Result, captions, cues, text};

/// Packets that wait between reader and writer, in bytes, for each track.
const QUEUE: usize = 2 << 20;

/// Packets that are handed over at a time.
const HANDFUL: usize = 32;

/// What to package.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Files whose tracks become renditions of one presentation; their timelines begin together.
    pub inputs: Vec<Pick>,
    /// The folder to make. It must not exist yet.
    pub output: PathBuf,
    /// Segments end at the first key frame at or behind each multiple of this.
    pub segment: Duration,
    /// Whether and how to encrypt.
    pub encryption: Option<Encryption>,
    /// Write HLS playlists.
    pub hls: bool,
    /// Write a DASH manifest.
    pub dash: bool,
    /// Say in HLS that more may come, as in the playlists of an event: somebody else will add it, and end it.
    pub event: bool,
    /// One file per rendition and byte ranges, instead of one file per segment.
    pub single_file: bool,
    /// Name files of segments by when they start, in ticks, instead of by their numbers.
    pub names_by_time: bool,
    /// Fast motion for DASH, of the smallest picture: one of every so many key frames for each number.
    pub trick_play: Vec<u32>,
    /// What segments are written as. Transport streams are for HLS alone, and WebM for DASH.
    pub form: Form,
    /// Where a ClearKey licence is to be had; written into the DASH manifest.
    pub license_url: Option<String>,
    /// How text is stored. `None`: WebVTT as a file, and TTML so that every manifest can name it.
    pub text: Option<TextAs>,
    /// Make text of the captions (CEA-608 and CEA-708) that pictures carry, besides saying that they carry them.
    pub extract_captions: bool,
    /// Small pictures of the whole film, for players to show where a seek would go. The first input with pictures
    /// is decoded for it, key pictures alone.
    pub thumbnails: Option<Thumbnails>,
    /// Where else the presentation will be had, and who says from where to take it. With the server `steering.json`
    /// that file is written too.
    pub steering: Option<Steering>,
    /// Places for advertisements that no input tells of. Segments end at the first key picture at or behind each, and
    /// are counted from there.
    pub ad_cues: Vec<AdCue>,
    /// What is to be shown between, by players that know HLS interstitials.
    pub interstitials: Vec<Between>,
    /// Heed the cues that inputs tell themselves: SCTE-35 in transport streams and in `emsg` boxes.
    pub cues: bool,
    /// Tell of splices in segments too (`emsg`): in those of pictures, or of sound where there are none.
    pub emsg: bool,
}

/// How text is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextAs {
    /// One file, `NAME.vtt` or `NAME.ttml`.
    File,
    /// Files cut on the grid of all segments, `NAME/NUMBER.vtt` or `NAME/NUMBER.ttml`.
    Segments,
    /// Segments of MP4, with text as `wvtt` or `stpp` (ISO/IEC 14496-30).
    Mp4,
}

impl Request {
    /// 4-second segments, HLS and DASH, clear.
    #[must_use]
    pub fn new(inputs: Vec<impl Into<Pick>>, output: impl Into<PathBuf>) -> Self {
        Self {
            inputs: inputs.into_iter().map(Into::into).collect(),
            output: output.into(),
            segment: Duration::from_secs(4),
            encryption: None,
            hls: true,
            dash: true,
            event: false,
            single_file: false,
            names_by_time: false,
            trick_play: vec![1],
            form: Form::Cmaf,
            license_url: None,
            text: None,
            extract_captions: false,
            thumbnails: None,
            steering: None,
            ad_cues: Vec::new(),
            interstitials: Vec::new(),
            cues: true,
            emsg: false,
        }
    }
}

/// An open file, and the tracks of it that become renditions, by their names.
type Opened = (Input, Vec<Taken>);

/// A track that becomes a rendition.
struct Taken {
    track: Arc<Track>,
    /// As it is told to the world.
    told: Arc<Track>,
    name: String,
    roles: Vec<Role>,
    bandwidth: Option<u64>,
}

/// Subtitles from a file of their own.
struct Words {
    name: String,
    text: text::Text,
    track: Track,
    roles: Vec<Role>,
    how: TextAs,
}

/// Does the work of one request.
pub struct Driver {
    request: Request,
    sources: Vec<Opened>,
    texts: Vec<Words>,
    /// Captions that pictures carry, by the names of their renditions.
    carried: BTreeMap<String, Vec<Carried>>,
    marked: Marked,
    meter: Meter,
    cancel: Cancel,
}

/// Opens the inputs and checks that they can be packaged; nothing is written yet.
///
/// # Errors
/// When an input can't be read, has nothing to package, or the output is there already.
pub fn start(request: Request) -> Result<(Handle, Driver)> {
    Work::check(&request.output)?;
    check_form(request.form, request.hls, request.dash, request.encryption.as_ref())?;
    if request.emsg && request.form != Form::Cmaf {
        let message = "transport streams have no emsg boxes: leave --emsg or --format ts out";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    check_factors(&request.trick_play)?;
    let mut names = Names::default();
    let mut sources = Vec::new();
    let mut texts = Vec::new();
    let mut carried = BTreeMap::new();
    let mut surveys = Vec::new();
    let asked = cues::asked(&request.ad_cues)?;
    let some = !asked.is_empty() || !request.interstitials.is_empty();
    for pick in &request.inputs {
        let path = &pick.path;
        if is_text(path) {
            let (name, language) = text_name(path);
            let read = text::read(path)?;
            let language = language.or_else(|| read.language());
            let mut track = text::track(language);
            text::set_codec(&mut track, pick.format.unwrap_or(read.codec()));
            let how = text::how(request.text, track.codec, request.form, request.hls)?;
            let track = pick.told(&Arc::new(track));
            let name = pick.language.as_ref().map_or(name, |language| format!("text-{language}"));
            let roles = pick.roles.clone();
            texts.push(Words {
                name: names.unique(&name),
                text: read,
                track: Track::clone(&track),
                roles,
                how,
            });
            continue;
        }
        let mut input = Input::open(path, Prefer::Own)?;
        let mut tracks: Vec<Taken> = Vec::new();
        for (number, track) in input.tracks.clone().iter().enumerate() {
            if track.kind() == TrackKind::Text || !pick.takes(number, track) {
                continue;
            }
            if sv_codec::rfc6381::string(track).is_none() {
                let message = format!(
                    "{} holds {} that no player of HLS or DASH knows; transcode it with sv vod",
                    path.display(),
                    track.codec
                );
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            let encryption = request.encryption.as_ref().filter(|_| track.protection.is_none());
            check_codec(request.form, encryption, track.codec)?;
            encryption.map(|e| e.check(track)).transpose()?;
            let told = pick.told(track);
            let (name, roles) = (names.for_track(&told), pick.roles.clone());
            let bandwidth = pick.bandwidth;
            tracks.push(Taken { track: Arc::clone(track), told, name, roles, bandwidth });
        }
        if tracks.is_empty() {
            let message = format!("{} has no such track as its descriptor asks for", path.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let ids: Vec<_> = tracks.iter().map(|t| t.track.id).collect();
        input.select(&ids);
        let mut scout = input.again()?;
        scout.select(&ids);
        let start = scout.find_start()?;
        let video = tracks.iter().find(|t| t.track.video().is_some()).map(|t| t.track.id);
        surveys.push(cues::Survey::of(&input, start, video, some, request.cues)?);
        for taken in tracks.iter().filter(|t| captions::may_carry(&t.track)) {
            let mut scan = input.again()?;
            scan.select(&[taken.track.id]);
            scan.rebase(start);
            let wanted = captions::Wanted { text: request.extract_captions, data: false };
            let found = captions::scan(scan, &taken.track, wanted)?;
            for (said, document) in found.texts {
                let track = text::of_captions(&said, &taken.told);
                let how = text::how(request.text, track.codec, request.form, request.hls)?;
                let name = names.unique(&format!("text-{}", said.name.to_lowercase()));
                let text = text::Text::WebVtt(document);
                texts.push(Words { name, text, track, roles: vec![Role::Caption], how });
            }
            carried.insert(taken.name.clone(), found.carried);
        }
        input.rebase(start);
        sources.push((input, tracks));
    }
    let (meter, events) = Meter::new();
    let cancel = Cancel::default();
    let mut marked = cues::marks(asked, &request.interstitials, surveys);
    marked.warnings.drain(..).for_each(|message| meter.tell(Event::Warning { message }));
    let driver = Driver { request, sources, texts, carried, marked, meter, cancel: cancel.clone() };
    Ok((Handle::new(events, cancel), driver))
}

impl Driver {
    /// Packages everything, on this thread and some that end with it.
    ///
    /// # Errors
    /// When an input breaks off or the output can't be written; nothing is left behind then.
    pub fn run(self) -> Result<Vec<Rendition>> {
        let output = self.request.output.clone();
        let result = self.package();
        if result.is_err() {
            crate::vod::discard(&output)?;
        }
        result
    }

    fn package(self) -> Result<Vec<Rendition>> {
        let Self { request, sources, texts, mut carried, marked, meter, cancel } = self;
        let duration = sources.iter().filter_map(|(i, _)| i.duration).max();
        let common = Common {
            segment: request.segment,
            layout: if request.single_file { Layout::SingleFile } else { Layout::Files },
            form: request.form,
            by_time: request.names_by_time,
            encryption: request.encryption.clone(),
            duration,
            cuts: marked.cuts,
            events: request.emsg.then(|| marked.marks.clone()),
        };
        let work = Arc::new(Mutex::new(Work::plain(&request.output)?));
        let mut order: Vec<String> =
            sources.iter().flat_map(|(_, tracks)| tracks.iter().map(|t| t.name.clone())).collect();
        meter.begin(duration);
        meter.tell(Event::Planned {
            renditions: order.clone(),
            duration_ms: duration.map(|d| d.as_millis() as u64),
            reasons: Vec::new(),
        });

        // The smallest picture is the one to show in fast motion.
        let fast = sources
            .iter()
            .flat_map(|(_, tracks)| tracks)
            .filter_map(|t| t.track.video().map(|v| (v.width * v.height, t.name.clone())))
            .min();
        let pictures = fast.is_some();
        let mut ends = Vec::new();
        for (index, (_, tracks)) in sources.iter().enumerate() {
            for Taken { track, told, name, roles, bandwidth } in tracks {
                // What is encrypted already stays as it is.
                let mut common = common.clone();
                common.encryption = common.encryption.filter(|_| track.protection.is_none());
                let mut end = Finish::new(name, &common, None, &work, meter.clone())?;
                if track.video().is_some() || !pictures {
                    end = end.telling(&common);
                }
                ends.push((index, track.id, end.told(told, roles).bandwidth(*bandwidth), None));
                if request.dash && fast.as_ref().is_some_and(|(_, f)| f == name) && track.protection.is_none()
                {
                    for nth in &request.trick_play {
                        let trick = trick_name(name, *nth);
                        let end = Finish::new(&trick, &common, Some(name), &work, meter.clone())?;
                        ends.push((index, track.id, end, Some(TrickPlay::every(*nth))));
                        order.push(trick);
                    }
                }
            }
        }

        let film = request.thumbnails.as_ref().map(|_| film(&sources)).transpose()?;
        let mut graph = Graph::<Error>::new(QUEUE, &cancel).handfuls(HANDFUL);
        let nodes: Vec<_> = sources.into_iter().map(|(input, _)| graph.source("reader", input)).collect();
        for (index, id, end, trick) in &mut ends {
            let from = nodes[*index];
            graph.sink("writer", from, Some(*id), |item: Item| match trick {
                Some(trick) => {
                    trick.push(item)?;
                    keys(trick, end)
                }
                None => end.item(item),
            });
        }
        graph.run().map_err(failure)?;
        for (_, _, mut end, trick) in ends {
            if let Some(mut trick) = trick {
                trick.finish()?;
                keys(&mut trick, &mut end)?;
            }
            end.end()?;
        }

        let mut work = Arc::into_inner(work)
            .and_then(|w| w.into_inner().ok())
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a writer is still at work"))?;
        let mut renditions = work.take(&order);
        for rendition in &mut renditions {
            rendition.info.carried = carried.remove(&rendition.name).unwrap_or_default();
        }
        let length = renditions.iter().map(Rendition::duration).max().unwrap_or_default();
        for words in texts {
            let Words { name, text, track, roles, how } = words;
            renditions.push(match how {
                TextAs::File => {
                    let length = if length.is_zero() { text.end() } else { length };
                    let text = text::on_clock(text.whole(&track), request.form);
                    text::store(&mut work, &name, &track, roles, text, length)?
                }
                _ => text::cut(&mut work, &name, &track, roles, &text, length, how, &common)?,
            });
        }
        let tiles = match (film, &request.thumbnails) {
            (Some((input, track)), Some(wanted)) => {
                Some(thumbnails::make(input, &track, None, wanted, length, |object| work.put(object))?)
            }
            _ => None,
        };
        let wanted = Wanted {
            hls: request.hls,
            dash: request.dash,
            event: request.event,
            license_url: request.license_url,
            key_url: request.encryption.and_then(|e| e.key_url),
            tiles,
            steering: request.steering,
            marks: marked.marks,
            inband: request.emsg,
        };
        let manifests = manifests::write(&mut work, &renditions, &wanted)?;
        work.publish()?;
        meter.tell(Event::Finished { manifests, elapsed_ms: meter.elapsed().as_millis() as u64 });
        Ok(renditions)
    }
}

/// The first pictures that can be decoded, to make thumbnails of.
fn film(sources: &[Opened]) -> Result<(Input, Arc<Track>)> {
    let clear = |taken: &&Taken| taken.track.video().is_some() && taken.track.protection.is_none();
    let found = sources.iter().find_map(|(input, tracks)| Some((input, tracks.iter().find(clear)?)));
    let (input, taken) = found.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            "thumbnails are made of pictures that are not encrypted, and there are none",
        )
    })?;
    let mut again = input.again()?;
    again.rebase(input.start());
    Ok((again, Arc::clone(&taken.track)))
}

/// Stores the key frames that there are.
fn keys(trick: &mut TrickPlay, end: &mut Finish) -> Result<()> {
    while let Some(item) = trick.pull()? {
        end.item(item)?;
    }
    Ok(())
}

/// A graph's failure as an error of ours.
pub(crate) fn failure(failure: Failure<Error>) -> Error {
    match failure {
        Failure::Node { error, .. } => error,
        Failure::Cancelled => Error::new(ErrorKind::Cancelled, "the run was cancelled"),
        Failure::Thread { name, error } => Error::from(error)
            .context(format!("the thread \"{name}\" can't be started, which may be for want of memory")),
        Failure::Panicked { name } => {
            Error::new(ErrorKind::Internal, format!("the thread \"{name}\" panicked; this is a bug of ours"))
        }
    }
}

fn is_text(path: &Path) -> bool {
    let known = ["vtt", "srt", "ttml", "dfxp"];
    path.extension().is_some_and(|e| known.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// `film.en.vtt` is English: a name, and the language.
pub(crate) fn text_name(path: &Path) -> (String, Option<String>) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match stem.rsplit_once('.') {
        Some((_, language)) if (2..=11).contains(&language.len()) => {
            (format!("text-{language}"), Some(language.to_owned()))
        }
        _ => ("text".to_owned(), None),
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("request", &self.request).finish_non_exhaustive()
    }
}
