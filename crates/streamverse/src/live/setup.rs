//! Sets a live presentation up: which renditions there are, and where each of them goes on.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sv_core::{Codec, ErrorKind, Grid, TimeBase, Timestamp, Track, TrackId, TrackKind};
use sv_package::live::{Presentation, Settings, Stream};
use sv_package::{Carried, Form, Mark, Marks, Role, Segmenter, TextSegmenter, TrickPlay};
use sv_pipeline::Cancel;

use super::desk::{Desk, MANIFESTS, Origin};
use super::lane::{Lane, Outlet, reached};
use super::run::{Driver, Either, Feed};
use super::source::{Clock, Coming, Paced, Pipe};
use super::store::{Earlier, Store};
use super::words::{self, Line, Spring, Words, Written};
use super::{Channel, Request};
use crate::captions::{self, Listener};
use crate::finish::{Begin, check_codec, check_factors, check_form, trick_name};
use crate::input::{Input, Prefer};
use crate::meter::Meter;
use crate::names::Names;
use crate::package_files::TextAs;
use crate::vod::Handle;
use crate::{Error, Pick, Result, manifests, text};

/// How far before the place where it goes on a file is read for captions: what is shown there may have come before.
const HEARD: Duration = Duration::from_secs(16);

/// An input whose tracks are known.
enum Opened {
    File(Box<Input>),
    Coming(Box<dyn Coming>),
}

/// What there is before anybody can be told of anything.
struct Setup<'a> {
    request: &'a Request,
    store: &'a mut Store,
    names: Names,
    streams: Vec<Stream>,
    /// Packets of each stream.
    packets: Vec<u64>,
    cuts: Vec<Duration>,
    grid: Grid,
    /// Somebody's pictures are heard already.
    heard: bool,
}

/// A stream that has its place.
struct Placed {
    name: String,
    place: usize,
    seamless: bool,
    earlier: Earlier,
}

/// A rendition that goes nowhere yet.
struct Planned {
    id: TrackId,
    told: Arc<Track>,
    placed: Placed,
    trick: Option<TrickPlay>,
    begin: Option<Begin>,
    segmenter: Segmenter,
    from: Option<Timestamp>,
    listener: Option<Listener>,
    tells: bool,
    leaves: bool,
    lines: Vec<(Line, Vec<(Placed, TextSegmenter)>)>,
}

/// Opens the inputs and the folder.
///
/// # Errors
/// When an input can't be read, has nothing to show, or the folder holds something else.
pub fn start(request: Request) -> Result<(Handle, Origin, Driver)> {
    begin(request, &Cancel::default(), |from, cues, cancel| Box::new(Pipe::open(from, cues, cancel)))
}

/// As [`start`]; `come` makes the source that the input `-` stands for, whose first packets come at that moment of the
/// presentation.
pub(crate) fn begin(
    request: Request,
    cancel: &Cancel,
    mut come: impl FnMut(Duration, bool, &Cancel) -> Box<dyn Coming>,
) -> Result<(Handle, Origin, Driver)> {
    check_request(&request)?;
    let (meter, events) = Meter::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut store = Store::open(&request.output, &fingerprint(&request), now)?;
    let (length, ended, resumed, began) = (store.length, store.ended, store.resumed, store.began);
    let clock = Clock::new(began);
    // Segments go on where cues of earlier runs have put the grid.
    let told: Vec<_> = store.cues.iter().filter_map(Mark::of).collect();
    let mut cuts = store.cuts.clone();
    cuts.extend(told.iter().map(|mark| mark.at));
    let mut grid = Grid::new(request.segment);
    cuts.iter().for_each(|at| grid.cut(*at));

    let mut setup = Setup {
        request: &request,
        store: &mut store,
        names: Names::default(),
        streams: Vec::new(),
        packets: Vec::new(),
        cuts,
        grid,
        heard: false,
    };
    let mut splices = false;
    let mut inputs = Vec::new();
    for pick in &request.inputs {
        // What can't be read again goes on where the clock is.
        let from = if resumed { clock.elapsed() } else { Duration::ZERO };
        let (opened, tracks) = if pick.path.as_os_str() == "-" {
            let mut coming = come(from, request.cues, cancel);
            let tracks = coming.tracks()?;
            (Opened::Coming(coming), tracks)
        } else {
            open(&pick.path, request.cues)?
        };
        splices |= opened.has_cues();
        let planned = setup.plan(pick, &opened, &tracks)?;
        inputs.push((opened, planned));
    }
    setup.fast(&mut inputs)?;
    let Setup { mut streams, packets, cuts, .. } = setup;
    if inputs.iter().all(|(opened, _)| matches!(opened, Opened::Coming(_))) {
        // What comes begins anew in all streams at once, also where a killed run was further with one than with another.
        let next = streams.iter().filter_map(|s| Some(s.newest()?.epoch + 1)).max().unwrap_or(0);
        streams = streams.into_iter().map(|stream| stream.from_epoch(next)).collect();
    }

    let mut settings = Settings::new(began);
    settings.segment = request.segment;
    settings.part = request.part;
    settings.window = request.window;
    settings.splices = request.cues && splices;
    settings.dash.inband = request.emsg;
    settings.interstitial.clone_from(&request.interstitial);
    settings.dash.license_url.clone_from(&request.license_url);
    settings.hls.steering.clone_from(&request.steering);
    settings.dash.steering.clone_from(&request.steering);
    if let Some(answer) = request.steering.as_ref().and_then(manifests::steering) {
        store.put(answer)?;
    }
    settings.hls.key_url = request.encryption.as_ref().and_then(|e| e.key_url.clone());
    let handed_out = std::fs::read_to_string(request.output.join(MANIFESTS)).unwrap_or_default();
    let mut presentation = Presentation::new(settings, streams).recall(&handed_out);
    cuts.iter().for_each(|at| presentation.cut(*at));
    for mark in told {
        presentation.mark(mark, began);
    }
    let desk = Arc::new(Desk::new(presentation, packets, &request.output, clock));
    let store = Arc::new(Mutex::new(store));
    let outlet = |placed: Placed| Outlet {
        name: placed.name,
        place: placed.place,
        seamless: placed.seamless,
        desk: Arc::clone(&desk),
        store: Arc::clone(&store),
        meter: meter.clone(),
        keep: request.keep,
    };

    let mut feeds = Vec::new();
    for (opened, planned) in inputs {
        let from = planned.iter().map(Planned::from).min().unwrap_or_default();
        let mut ids: Vec<TrackId> = planned.iter().flat_map(Planned::tracks).collect();
        ids.sort_unstable();
        ids.dedup();
        let lanes = planned.into_iter().map(|lane| lane.placed(&outlet)).collect();
        let source = match opened {
            Opened::Coming(coming) => Either::Coming(coming),
            Opened::File(input) => {
                let length = length.or(Some(Duration::ZERO));
                let looping = (request.looping, length);
                Either::Paced(Box::new(Paced::new(*input, ids, looping, from, clock, cancel)?))
            }
        };
        feeds.push(Feed { source, lanes });
    }
    let origin = Origin { desk };
    let driver = Driver { feeds, origin: origin.clone(), store, meter, cancel: cancel.clone(), ended };
    Ok((Handle::new(events, cancel.clone()), origin, driver))
}

impl Setup<'_> {
    /// What is made of an input.
    fn plan(&mut self, pick: &Pick, opened: &Opened, tracks: &[Arc<Track>]) -> Result<Vec<Planned>> {
        let all = tracks.iter().enumerate().filter(|(number, track)| pick.takes(*number, track));
        let (texts, media): (Vec<&Arc<Track>>, Vec<_>) =
            all.map(|(_, track)| track).partition(|track| track.kind() == TrackKind::Text);
        if media.is_empty() {
            let message = format!("{} has no such track as its descriptor asks for", pick.path.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let pictures = media.iter().any(|track| track.video().is_some());
        let mut out = Vec::new();
        for track in &media {
            let told = pick.told(track);
            let mut lane = self.lane(pick, opened, track, told)?;
            if self.request.emsg && (track.video().is_some() || !pictures) {
                // A file tells once more of what came after its newest segment; what comes by itself does not.
                let count = if lane.placed.seamless { lane.placed.earlier.cues } else { usize::MAX };
                let known: Marks = self.store.cues.iter().take(count).filter_map(Mark::of).collect();
                lane.segmenter = lane.segmenter.emsg(&known);
            }
            out.push(lane);
        }
        // Text goes with pictures, and with sound where there are none.
        let lead = out.iter().position(|lane| lane.told.video().is_some()).unwrap_or(0);
        let Some(lead) = out.get_mut(lead) else { return Ok(out) };
        if self.request.extract_captions && !self.heard && lead.may_carry() {
            self.heard = true;
            self.channels(pick, opened, lead)?;
        }
        for track in texts.into_iter().filter(|track| words::may_show(track)) {
            let told = pick.told(track);
            let line = Line::of(Spring::Track(track.id), &told, pick.roles.contains(&Role::Caption), false);
            let name = self.names.for_track(&told);
            self.line(line, &name, pick.roles.clone(), opened, lead)?;
        }
        Ok(out)
    }

    /// Puts a stream behind those that there are.
    fn place(&mut self, name: String, mut stream: Stream, earlier: Earlier, opened: &Opened) -> Placed {
        if self.request.encryption.as_ref().is_some_and(|e| !e.pssh_in_stream) {
            stream = stream.no_pssh();
        }
        let place = self.streams.len();
        self.streams.push(stream.resume(earlier.epochs.clone()));
        self.packets.push(earlier.packets());
        let seamless = matches!(opened, Opened::File(_)) && !earlier.epochs.is_empty();
        Placed { name, place, seamless, earlier }
    }

    /// A rendition of pictures or sound.
    fn lane(
        &mut self,
        pick: &Pick,
        opened: &Opened,
        track: &Arc<Track>,
        told: Arc<Track>,
    ) -> Result<Planned> {
        check(track, self.request)?;
        let name = self.names.for_track(&told);
        let earlier = self.store.earlier(&name);
        let mut stream = Stream::new(&name, Form::Cmaf).roles(pick.roles.iter().copied());
        let fresh = earlier.epochs.iter().all(|epoch| epoch.segments.is_empty());
        let mut tells = false;
        if captions::may_carry(track) && fresh {
            match opened {
                Opened::File(input) => stream = stream.carried(carried(input, track)?),
                // Whoever comes first is told what the first segment has.
                Opened::Coming(_) => tells = true,
            }
        }
        let placed = self.place(name, stream, earlier, opened);
        let mut lane = self.planned(track, told, placed)?;
        lane.tells = tells;
        lane.leaves = matches!(opened, Opened::Coming(coming) if coming.gives_up());
        lane.listener = tells.then(|| Listener::new(track));
        if let Some(part) = self.request.part {
            lane.segmenter = lane.segmenter.parts(part);
        }
        Ok(lane)
    }

    fn planned(&mut self, track: &Track, told: Arc<Track>, placed: Placed) -> Result<Planned> {
        let begin = match &self.request.encryption {
            Some(encryption) if track.protection.is_none() => Some(Begin {
                encryption: encryption.clone(),
                grid: self.grid.clone(),
                iv: self.store.iv(&placed.name)?,
                first_sample: placed.earlier.packets(),
            }),
            _ => None,
        };
        let mut segmenter = Segmenter::new(self.request.segment).cuts(&self.cuts).clock(self.store.began);
        if let Some(newest) = placed.earlier.epochs.iter().rev().find(|e| !e.segments.is_empty()) {
            segmenter = segmenter.resume(newest);
        }
        let from = if placed.seamless { reached(&placed.earlier.epochs) } else { None };
        Ok(Planned {
            id: track.id,
            told,
            placed,
            trick: None,
            begin,
            segmenter,
            from,
            listener: None,
            tells: false,
            leaves: false,
            lines: Vec::new(),
        })
    }

    /// Text of the captions that the pictures of `lead` carry.
    fn channels(&mut self, pick: &Pick, opened: &Opened, lead: &mut Planned) -> Result<()> {
        let mut channels = self.request.channels.clone();
        if let (true, Opened::File(input)) = (channels.is_empty(), opened) {
            let source = input.tracks.iter().find(|track| track.id == lead.id).unwrap_or(&lead.told);
            channels = carried(input, source)?.iter().filter_map(|c| c.name.parse().ok()).collect();
        }
        if channels.is_empty() {
            channels.push(Channel::new(1));
        }
        lead.listener.get_or_insert_with(|| Listener::new(&lead.told));
        for channel in channels {
            let name = format!("CC{}", channel.number);
            let language = channel.language.or_else(|| pick.language.clone()).or(lead.told.language.clone());
            let mut told = text::track(language);
            told.label = Some(name.clone());
            let line = Line::of(Spring::Channel(channel.number), &told, true, false);
            let name = self.names.unique(&format!("text-{}", name.to_lowercase()));
            self.line(line, &name, vec![Role::Caption], opened, lead)?;
        }
        Ok(())
    }

    /// Text in the forms that are asked for.
    fn line(
        &mut self,
        line: Line,
        name: &str,
        roles: Vec<Role>,
        opened: &Opened,
        lead: &mut Planned,
    ) -> Result<()> {
        let mut forms = Vec::new();
        let both = self.request.text.is_none();
        if self.request.text != Some(TextAs::Mp4) {
            forms.push((name.to_owned(), Form::Text, Codec::WebVtt));
        }
        if self.request.text != Some(TextAs::Segments) {
            let name = if both { self.names.unique(&format!("{name}-mp4")) } else { name.to_owned() };
            forms.push((name, Form::Cmaf, line.track.codec));
        }
        let mut placed = Vec::new();
        for (name, form, codec) in forms {
            let mut earlier = self.store.earlier(&name);
            // A killed run may have begun text of an epoch that it began no pictures of.
            let led = |epoch: u32| {
                lead.placed.earlier.epochs.iter().any(|e| e.epoch == epoch && !e.segments.is_empty())
            };
            earlier.epochs.retain(|epoch| led(epoch.epoch));
            let mut stream = Stream::new(&name, form).roles(roles.iter().copied());
            if both && form == Form::Cmaf {
                stream = stream.dash_alone();
            }
            let here = self.place(name, stream, earlier, opened);
            let next = self.streams.get(here.place).map_or(0, Stream::next);
            placed.push((here, words::segmenter(&line.track, form, codec, next)?));
        }
        lead.lines.push((line, placed));
        Ok(())
    }

    /// Fast motion of the smallest pictures.
    fn fast(&mut self, inputs: &mut [(Opened, Vec<Planned>)]) -> Result<()> {
        let size = |lane: &Planned| {
            let video = lane.told.video().filter(|_| lane.told.protection.is_none())?;
            Some(u64::from(video.width) * u64::from(video.height))
        };
        let all = inputs
            .iter()
            .enumerate()
            .flat_map(|(i, (_, lanes))| lanes.iter().enumerate().map(move |(n, l)| (i, n, l)));
        let Some((_, input, place)) = all.filter_map(|(i, n, lane)| Some((size(lane)?, i, n))).min() else {
            return Ok(());
        };
        let Some((opened, lanes)) = inputs.get_mut(input) else { return Ok(()) };
        let Some((told, main)) = lanes.get(place).map(|l| (Arc::clone(&l.told), l.placed.name.clone()))
        else {
            return Ok(());
        };
        for nth in &self.request.trick_play {
            let name = self.names.unique(&trick_name(&main, *nth));
            let earlier = self.store.earlier(&name);
            let stream = Stream::new(&name, Form::Cmaf).trick_play_of(&main);
            let placed = self.place(name, stream, earlier, opened);
            let mut lane = self.planned(&told, Arc::clone(&told), placed)?;
            lane.trick = Some(TrickPlay::every(*nth));
            lane.segmenter = lane.segmenter.seamless();
            lanes.push(lane);
        }
        Ok(())
    }
}

impl Planned {
    fn may_carry(&self) -> bool {
        captions::may_carry(&self.told)
    }

    /// From where on, in the presentation's time, it needs its source.
    fn from(&self) -> Duration {
        let nanos = |at: Timestamp| Duration::from_nanos(at.ticks().max(0).unsigned_abs());
        let texts = self.lines.iter().flat_map(|(_, forms)| forms);
        let words = texts.map(|(placed, _)| reached(&placed.earlier.epochs).map_or(Duration::ZERO, nanos));
        let own = self.from.map_or(Duration::ZERO, nanos);
        match words.min() {
            Some(words) => own.min(words).saturating_sub(HEARD),
            None => own,
        }
    }

    /// The tracks of the source that it takes.
    fn tracks(&self) -> impl Iterator<Item = TrackId> {
        let texts = self.lines.iter().filter_map(|(line, _)| match line.spring {
            Spring::Track(id) => Some(id),
            Spring::Channel(_) => None,
        });
        std::iter::once(self.id).chain(texts)
    }

    fn placed(self, outlet: &dyn Fn(Placed) -> Outlet) -> Lane {
        let lines = self.lines.into_iter().map(|(mut line, forms)| {
            line.forms.extend(forms.into_iter().map(|(placed, segmenter)| {
                let reached = reached(&placed.earlier.epochs).filter(|_| placed.seamless);
                let reached = reached.map_or(Timestamp::ZERO, |at| words::millis(at, TimeBase::NANOS));
                Written { outlet: outlet(placed), segmenter, reached }
            }));
            line
        });
        Lane {
            id: self.id,
            words: Words { lines: lines.collect(), begun: false },
            outlet: outlet(self.placed),
            told: self.told,
            trick: self.trick,
            begin: self.begin,
            encryptor: None,
            segmenter: self.segmenter,
            from: self.from,
            base: TimeBase::NANOS,
            out: TimeBase::NANOS,
            listener: self.listener,
            tells: self.tells,
            leaves: self.leaves,
            left: false,
        }
    }
}

impl Opened {
    /// Whether the source may tell of splices.
    fn has_cues(&self) -> bool {
        match self {
            Self::File(input) => input.has_cues(),
            Self::Coming(coming) => coming.has_cues(),
        }
    }
}

/// Which captions the pictures of a file carry, as far as its beginning says.
fn carried(input: &Input, track: &Arc<Track>) -> Result<Vec<Carried>> {
    let mut scan = input.again()?;
    scan.select(&[track.id]);
    Ok(captions::scan(scan, track, captions::Wanted::default())?.carried)
}

fn open(path: &Path, cues: bool) -> Result<(Opened, Vec<Arc<Track>>)> {
    let mut input = Input::open(path, Prefer::Own)?;
    if cues {
        input = input.tell_cues();
    }
    let tracks = input.tracks.clone();
    Ok((Opened::File(Box::new(input)), tracks))
}

fn check_request(request: &Request) -> Result<()> {
    check_form(Form::Cmaf, true, true, request.encryption.as_ref())?;
    check_factors(&request.trick_play)?;
    if request.text == Some(TextAs::File) {
        let message =
            "live text has no end, so it is no file: choose --text segments or mp4, or leave it out";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn check(track: &Track, request: &Request) -> Result<()> {
    if sv_codec::rfc6381::string(track).is_none() {
        let message = format!("{} is known to no player of HLS or DASH; transcode it first", track.codec);
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let encryption = request.encryption.as_ref().filter(|_| track.protection.is_none());
    check_codec(Form::Cmaf, encryption, track.codec)?;
    encryption.map(|e| e.keys.of(track)).transpose()?;
    Ok(())
}

/// Whatever makes other bytes makes another presentation.
fn fingerprint(request: &Request) -> String {
    let inputs: Vec<String> = request.inputs.iter().map(|pick| format!("{pick:?}")).collect();
    let scheme = request.encryption.as_ref().map(|e| (e.scheme.as_str(), e.clear_lead, e.crypto_period));
    let mut all = format!(
        "{};{:?};{:?};{};{scheme:?}",
        inputs.join(";"),
        request.segment,
        request.part,
        request.looping
    );
    // Nothing is said where all is as it always was, so that presentations of before go on.
    if request.emsg || !request.cues {
        all += &format!(";{};{}", request.emsg, request.cues);
    }
    if request.extract_captions {
        all += &format!(";captions {:?}", request.channels);
    }
    if request.text.is_some() {
        all += &format!(";text {:?}", request.text);
    }
    if !request.trick_play.is_empty() {
        all += &format!(";trick {:?}", request.trick_play);
    }
    all
}
