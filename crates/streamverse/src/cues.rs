//! Moments that segments end at and manifests tell of: those that were asked for, and those that a source tells.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use sv_container::{scte35, ts};
use sv_core::{Cue, ErrorKind, Item, Source as _, TimeBase, Timestamp, TrackId};
use sv_package::{Asset, Interstitial, Mark, Marks};

use crate::input::Input;
use crate::{Error, Result};

/// A key picture so little before a moment is the one that was meant: clocks round.
const SLACK: Duration = Duration::from_millis(10);
/// Nanoseconds after which the clock of a transport stream begins anew: 2^33 ticks of 90 kHz.
const ROUND: i64 = 95_443_717_688_889;

/// A place for advertisements that the source itself doesn't tell of. As text `SECONDS` or `SECONDS+DURATION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdCue {
    /// When, on the presentation's timeline.
    pub at: Duration,
    /// How long a break is meant to be that begins there, if that is known: what is shown behind it is another period.
    pub length: Option<Duration>,
}

impl FromStr for AdCue {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (at, length) = match text.split_once('+') {
            Some((at, length)) => (seconds(at)?, Some(seconds(length)?)),
            None => (seconds(text)?, None),
        };
        if length.is_some_and(|length| length.is_zero()) {
            return Err(wrong(format!("{text}: a break of no length is none")));
        }
        Ok(Self { at, length })
    }
}

/// Something to be shown between, by players that know HLS interstitials. As text
/// `AT=URI[,list][,duration=S][,resume=S][,limit=S][,snap=out;in][,restrict=skip;jump][,once]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Between {
    /// When, on the presentation's timeline.
    pub at: Duration,
    /// What.
    pub what: Interstitial,
}

impl FromStr for Between {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((at, rest)) = text.split_once('=') else {
            return Err(wrong(format!("{text}: an interstitial is AT=URI, such as 30=ad/master.m3u8")));
        };
        let at = seconds(at)?;
        // Options stand behind the URI, in which there may be commas too.
        let mut uri = rest;
        let mut what = Interstitial::new(Asset::Uri(String::new()));
        let mut list = false;
        while let Some((before, option)) = uri.rsplit_once(',') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "list" => list = true,
                "once" => what.once = true,
                "duration" => what.duration = Some(seconds(value)?),
                "resume" => what.resume = Some(seconds(value)?),
                "limit" => what.limit = Some(seconds(value)?),
                "snap" => {
                    for word in value.split(';') {
                        match word {
                            "out" => what.snap_out = true,
                            "in" => what.snap_in = true,
                            _ => {
                                return Err(wrong(format!(
                                    "{text}: snap is out, in, or both with ; between"
                                )));
                            }
                        }
                    }
                }
                "restrict" => {
                    for word in value.split(';') {
                        match word {
                            "skip" => what.no_skip = true,
                            "jump" => what.no_jump = true,
                            _ => {
                                let message =
                                    format!("{text}: restrict is skip, jump, or both with ; between");
                                return Err(wrong(message));
                            }
                        }
                    }
                }
                _ => break,
            }
            uri = before;
        }
        if uri.is_empty() {
            return Err(wrong(format!("{text}: the URI is missing")));
        }
        let uri = uri.to_owned();
        what.asset = if list { Asset::List(uri) } else { Asset::Uri(uri) };
        Ok(Self { at, what })
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// `12`, `1.5`, `1.5s`, up to a year.
fn seconds(text: &str) -> Result<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|n| (0.0..=366.0 * 86_400.0).contains(n))
        // Nobody means more than a microsecond, and a float has no more to tell.
        .map(|n| Duration::from_micros((n * 1e6).round() as u64))
        .ok_or_else(|| wrong(format!("{text:?} is no time in seconds, such as 90 or 2.5")))
}

/// The cues of places for advertisements; a break of known length has an end.
pub(crate) fn asked(cues: &[AdCue]) -> Result<Vec<Cue>> {
    let mut out = Vec::new();
    for (event, cue) in (1u32..).zip(cues) {
        out.push(Mark::cue(event, true, cue.at, cue.length)?);
        if let Some(length) = cue.length {
            out.push(Mark::cue(event, false, cue.at.saturating_add(length), None)?);
        }
    }
    Ok(out)
}

/// What a source tells.
#[derive(Default)]
pub(crate) struct Survey {
    /// When its key pictures are shown.
    keys: Vec<Duration>,
    cues: Vec<Cue>,
}

impl Survey {
    /// Of a source whose presentation starts at `start` of its own timeline: the key pictures of `video`, if some
    /// moment is `asked` for, and its own cues, if those are `wanted`. Reads all of it where there is no table.
    pub(crate) fn of(
        input: &Input,
        start: Timestamp,
        video: Option<TrackId>,
        asked: bool,
        wanted: bool,
    ) -> Result<Self> {
        let mut survey = Self::default();
        if wanted {
            survey.events(input, start);
        }
        let tells = wanted && input.has_cues();
        let leads = (asked || !survey.cues.is_empty()) && video.is_some();
        if !tells && !leads {
            return Ok(survey);
        }
        if let (false, Some(video)) = (tells, video) {
            survey.keys = input.key_times(video, start)?;
            if !survey.keys.is_empty() {
                return Ok(survey);
            }
        }
        let mut scan = input.again()?;
        if tells {
            scan = scan.tell_cues();
        }
        scan.select(&video.into_iter().collect::<Vec<_>>());
        scan.rebase(start);
        let mut base = TimeBase::NANOS;
        let mut now = Duration::ZERO;
        while let Some(item) = scan.next_item()? {
            match item {
                Item::Track(track) if Some(track.id) == video => base = track.time_base,
                Item::Packet(packet) if Some(packet.track) == video => {
                    let since =
                        |at: Timestamp| sv_core::Duration::new(at.ticks().max(0).unsigned_abs()).to_std(base);
                    now = since(packet.dts);
                    if packet.key {
                        survey.keys.push(since(packet.pts));
                    }
                }
                Item::Cue(cue) => survey.tell(cue, now),
                _ => {}
            }
        }
        survey.keys.sort_unstable();
        Ok(survey)
    }

    /// Of a source that is encoded anew, so that its key pictures don't matter: its own cues.
    pub(crate) fn told(input: &Input, start: Timestamp) -> Self {
        let mut survey = Self::default();
        survey.events(input, start);
        let Some(mut own) = input.transport().filter(ts::Demuxer::has_cues) else { return survey };
        let mut bases = BTreeMap::new();
        let (mut cues, mut first, mut now) = (Vec::new(), None, Duration::ZERO);
        // Where it breaks off is told when it is decoded.
        while let Ok(Some(item)) = own.next_item() {
            match item {
                Item::Track(track) => {
                    bases.insert(track.id, track.time_base);
                }
                Item::Packet(packet) => {
                    let base = bases.get(&packet.track).copied().unwrap_or(TimeBase::MPEG);
                    let at = packet.dts.rescale(base, TimeBase::NANOS).ticks();
                    first.get_or_insert(at);
                    now = Duration::from_nanos(at.max(0).unsigned_abs());
                }
                Item::Cue(cue) => cues.push((cue, now)),
                _ => {}
            }
        }
        // Others count the same clock from another of its rounds.
        let rounds = |nanos: i64| nanos.saturating_add(ROUND / 2).div_euclid(ROUND) * ROUND;
        let start = start.ticks().saturating_add(rounds(first.unwrap_or(0).saturating_sub(start.ticks())));
        let rebased = |at: Duration| since(at, Timestamp::new(start));
        for (mut cue, now) in cues {
            cue.at = rebased(cue.at);
            survey.tell(cue, rebased(now));
        }
        survey
    }

    /// Leaves out what is due when the presentation is over.
    pub(crate) fn within(mut self, end: Option<Duration>) -> Self {
        self.cues.retain(|cue| end.is_none_or(|end| cue.at < end));
        self
    }

    /// Takes the events in front of fragments, each as if it came when it is due.
    fn events(&mut self, input: &Input, start: Timestamp) {
        for mut cue in input.events(scte35::SCHEME) {
            cue.at = since(cue.at, start);
            let now = cue.at;
            self.tell(cue, now);
        }
    }

    /// Takes a cue that comes at a moment. Events that it takes back are forgotten, unless they have begun.
    fn tell(&mut self, cue: Cue, now: Duration) {
        let Ok(section) = scte35::Section::parse(&cue.payload) else { return };
        let event = |cue: &Cue| scte35::Section::parse(&cue.payload).ok()?.event().map(|(event, _)| event);
        for cancelled in section.cancelled() {
            let is = |cue: &Cue| event(cue) == Some(cancelled);
            if !self.cues.iter().any(|cue| is(cue) && cue.at <= now) {
                self.cues.retain(|cue| !is(cue));
            }
        }
        if !section.only_cancels() {
            self.cues.push(cue);
        }
    }
}

/// A moment on a source's own timeline, behind the presentation's start.
pub(crate) fn since(at: Duration, start: Timestamp) -> Duration {
    let nanos = i128::try_from(at.as_nanos()).unwrap_or(0) - i128::from(start.ticks());
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

/// What comes of cues.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    /// Each at the first key picture at or behind its moment.
    pub(crate) marks: Marks,
    /// Where segments end for their sake.
    pub(crate) cuts: Vec<Duration>,
    /// A sentence for each cue that no key picture follows: no segment can end there, so it is left out.
    pub(crate) warnings: Vec<String>,
}

/// All marks of a presentation.
pub(crate) fn marks(asked: Vec<Cue>, between: &[Between], surveys: Vec<Survey>) -> Marked {
    // The first pictures lead; where there are none, sound may be cut anywhere.
    let keys = surveys.iter().map(|s| &s.keys).find(|keys| !keys.is_empty()).cloned();
    let own = surveys.into_iter().flat_map(|s| s.cues);
    let cues = asked.into_iter().chain(own).filter_map(|cue| Mark::of(&cue));
    let between = between.iter().map(|b| Mark::interstitial(b.at, b.what.clone()));
    let mut marked = Marked::default();
    for mut mark in cues.chain(between) {
        if let Some(keys) = &keys {
            let place = keys.partition_point(|key| key.saturating_add(SLACK) < mark.at);
            match keys.get(place) {
                Some(key) => mark.at = *key,
                // What is shown behind the last segment's beginning needs no segment of its own.
                None if mark.splice().is_none() => {
                    marked.marks.add(mark);
                    continue;
                }
                None => {
                    let at = mark.at.as_secs_f64();
                    let message = format!("the cue at {at:.3} s is left out: no key picture follows it");
                    marked.warnings.push(message);
                    continue;
                }
            }
        }
        let at = mark.at;
        if marked.marks.add(mark) && !at.is_zero() {
            marked.cuts.push(at);
        }
    }
    marked.cuts.sort_unstable();
    marked.cuts.dedup();
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_are_read() {
        let cue: AdCue = "1.5+30".parse().unwrap();
        assert_eq!((cue.at, cue.length), (Duration::from_millis(1500), Some(Duration::from_secs(30))));
        for wrong in ["", "-1", "1+0", "x", "1+", "nan", "1e99"] {
            assert!(wrong.parse::<AdCue>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn interstitials_are_read() {
        let all: Between =
            "30=ad.m3u8?a=1,2,resume=0,limit=15.5,snap=out;in,restrict=skip,once".parse().unwrap();
        assert_eq!(all.what.asset, Asset::Uri("ad.m3u8?a=1,2".into()));
        assert_eq!(
            (all.what.resume, all.what.limit),
            (Some(Duration::ZERO), Some(Duration::from_millis(15_500)))
        );
        assert_eq!(
            (all.what.snap_out, all.what.snap_in, all.what.no_skip, all.what.no_jump),
            (true, true, true, false)
        );
        assert!(all.what.once);
        assert_eq!("0=x.json,list".parse::<Between>().unwrap().what.asset, Asset::List("x.json".into()));
        for wrong in ["ad.m3u8", "30=", "30=,once", "30=a,snap=up", "x=a"] {
            assert!(wrong.parse::<Between>().is_err(), "{wrong}");
        }
    }
}
