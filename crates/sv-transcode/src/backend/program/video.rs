//! Pictures to packets.

use bytes::Bytes;
use std::collections::VecDeque;
use sv_codec::h264;
use sv_core::{Codec, ColorInfo, Duration, Packet, PixelFormat, Ratio, Timestamp, TrackId, VideoFrame};

use super::child::{Child, Output, failed};
use super::matroska::{self, Found};
use super::{PROGRAM, Program, quiet};
use crate::backend::options::{starts_over, video_options};
use crate::backend::{EncodeVideo, Picture};
use crate::{Error, encode};

pub(super) fn open(
    program: &Program,
    name: &str,
    config: &encode::Video,
    picture: &Picture,
) -> Result<Box<dyn EncodeVideo>, Error> {
    let plan = Plan::new(program, name, config, picture);
    // What an encoder says about itself comes with its first packet, which may be a second away: a run of
    // its own over one picture says it at once.
    let config = plan.trial(&picture.frame)?;
    let encoder = Encoder {
        reorder: reorder(plan.codec, &config),
        config,
        child: plan.start(&picture.frame)?,
        plan,
        begun: false,
        at: (0, 0),
        done: VecDeque::new(),
        pending: VecDeque::new(),
        times: VecDeque::new(),
        last_tick: None,
        packets: 0,
        shift: None,
        lead: 0,
        last_dts: None,
    };
    Ok(Box::new(encoder))
}

/// How the program is called.
struct Plan {
    program: String,
    arguments: Vec<String>,
    rate: Ratio,
    codec: Codec,
    /// Pictures from one key frame to the next at most. The program's clock goes on to the next multiple of
    /// it at each key frame, which is how it hears of them: it can't be told in any other way.
    cell: i64,
    /// Whether it is told of key frames by being started anew.
    anew: bool,
}

impl Plan {
    fn new(program: &Program, name: &str, config: &encode::Video, picture: &Picture) -> Self {
        let between = config.key_interval.unwrap_or(config.grid.interval).min(config.grid.interval);
        let cell = (between.as_secs_f64() * picture.frame_rate.to_f64()).ceil().min(1e9) as i64 + 2;
        let anew = starts_over(name, config);
        let rate = picture.frame_rate;
        let mut arguments = quiet();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|w| (*w).to_owned()));
        add(&["-probesize", "32", "-analyzeduration", "0", "-copyts", "-f", "matroska", "-i", "pipe:0"]);
        add(&["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", &setparams(picture.frame.color)]);
        add(&["-c:v", name]);
        let format = if picture.bit_depth == 10 { "yuv420p10le" } else { "yuv420p" };
        add(&["-pix_fmt", format]);
        add(&["-enc_time_base", &format!("{}:{}", rate.den(), rate.num())]);
        if !anew {
            add(&["-force_key_frames", &cells(cell, rate)]);
        }
        for (key, value) in video_options(name, config, picture) {
            if key == PROGRAM {
                continue;
            }
            add(&[&format!("-{key}:v"), &value]);
        }
        add(&["-video_track_timescale", "1000000", "-use_editlist", "0"]);
        add(&["-f", "mp4", "-movflags", "delay_moov+default_base_moof+frag_every_frame", "pipe:1"]);
        Self { program: program.path.clone(), arguments, rate, codec: config.codec, cell, anew }
    }

    fn start(&self, first: &VideoFrame) -> Result<Child, Error> {
        let mut child = Child::start(&self.program, &self.arguments, Output::Fragments)?;
        let header = matroska::header(first, self.rate);
        child.write(Box::new(move |pipe| std::io::Write::write_all(pipe, &header)))?;
        Ok(child)
    }

    /// When a picture of the program's clock is shown, in microseconds.
    fn time(&self, tick: i64) -> u64 {
        (tick.max(0) as f64 * 1e6 / self.rate.to_f64()).round() as u64
    }

    fn feed(&self, child: &mut Child, frame: &VideoFrame, at: u64) -> Result<(), Error> {
        let frame = frame.clone();
        child.write(Box::new(move |pipe| matroska::write_picture(pipe, &frame, at)))
    }

    /// The configuration of a run over one picture.
    fn trial(&self, frame: &VideoFrame) -> Result<Bytes, Error> {
        let mut child = self.start(frame)?;
        self.feed(&mut child, frame, 0)?;
        child.close();
        let mut config = None;
        while let Some(found) = child.read()? {
            if let Found::Track { private, .. } = found {
                config = Some(private).filter(|c| !c.is_empty()).map(Bytes::from);
            }
        }
        config.ok_or_else(|| failed(format!("it doesn't say what its {} is like", self.codec)))
    }
}

/// Colours as they are, for the program to tell its encoder.
fn setparams(color: ColorInfo) -> String {
    format!(
        "setparams=color_primaries={}:color_trc={}:colorspace={}:range={}",
        color.primaries,
        color.transfer,
        color.matrix,
        if color.full_range { "pc" } else { "tv" }
    )
}

/// The first picture in each cell, as an expression of the program's.
fn cells(cell: i64, rate: Ratio) -> String {
    let length = cell as f64 / rate.to_f64();
    // What is a billionth short of a line is on it: the program counts in floating point.
    format!("expr:isnan(prev_forced_t)+gt(floor(t/{length}+1e-9),floor(prev_forced_t/{length}+1e-9))")
}

/// How many pictures may be decoded between a picture's decoding and its showing.
fn reorder(codec: Codec, record: &[u8]) -> usize {
    match codec {
        Codec::H264 => {
            let sps = h264::Config::parse(record).ok().and_then(|c| c.sps.first().cloned());
            let sps = sps.and_then(|unit| h264::Sps::parse(&unit).ok());
            sps.and_then(|sps| sps.max_reorder).unwrap_or(2) as usize
        }
        // A pyramid of two levels is what x265 makes.
        Codec::Hevc => 2,
        _ => 0,
    }
}

/// A picture inside of the program.
struct Pending {
    at: u64,
    pts: Timestamp,
    duration: Duration,
    key: bool,
}

struct Encoder {
    plan: Plan,
    config: Bytes,
    child: Child,
    begun: bool,
    /// The cell of the program's clock, and the picture that it begins with on ours.
    at: (i64, i64),
    /// Earlier runs that have been told to end.
    done: VecDeque<Child>,
    pending: VecDeque<Pending>,
    /// When pictures whose packets are not decoded yet are shown, in order.
    times: VecDeque<i64>,
    last_tick: Option<i64>,
    reorder: usize,
    packets: usize,
    /// What the program's times are later than ours, in this run of it.
    shift: Option<i64>,
    /// How long before the first picture the first packet is decoded.
    lead: i64,
    last_dts: Option<i64>,
}

impl Encoder {
    fn packet(&mut self, id: TrackId, at: i64, key: bool, data: Vec<u8>) -> Result<Packet, Error> {
        // The first one begins its run, and all others are shown as long behind it as they were. Times may
        // have been rounded on the way: the nearest picture is meant.
        let shift = match self.shift {
            Some(shift) => shift,
            None => *self.shift.insert(at - self.pending.front().map_or(at, |p| p.at.cast_signed())),
        };
        let at = at.saturating_sub(shift);
        let distance = |p: &Pending| at.abs_diff(i64::try_from(p.at).unwrap_or(i64::MAX));
        let nearest = self.pending.iter().enumerate().min_by_key(|(_, p)| distance(p)).map(|(i, _)| i);
        let Some(pending) = nearest.and_then(|i| self.pending.remove(i)) else {
            return Err(failed("it gave more pictures than it got".into()));
        };
        if pending.key && !key {
            return Err(Error::Invalid(format!(
                "this encoder for {} makes key frames where it likes, not where they are asked for: choose another",
                self.plan.codec
            )));
        }
        let pts = pending.pts.ticks();
        if self.packets == 0 {
            let first = self.times.front().copied().unwrap_or(pts);
            let nominal = pending.duration.ticks().saturating_mul(self.reorder as u64);
            let nominal = i64::try_from(nominal).unwrap_or(0);
            self.lead = self.times.get(self.reorder).map_or(nominal, |t| t - first);
        }
        let dts = match self.packets < self.reorder {
            true => self.times.get(self.packets).map_or(pts, |t| *t) - self.lead,
            false => self.times.pop_front().unwrap_or(pts),
        };
        self.packets += 1;
        let dts = self.last_dts.map_or(dts, |last| dts.max(last)).min(pts);
        self.last_dts = Some(dts);
        Ok(Packet {
            track: id,
            pts: pending.pts,
            dts: Timestamp::new(dts),
            duration: pending.duration,
            key,
            data: data.into(),
            protection: None,
        })
    }
}

impl EncodeVideo for Encoder {
    fn config(&self) -> Bytes {
        self.config.clone()
    }

    fn push(&mut self, frame: &VideoFrame, tick: i64, key: bool) -> Result<(), Error> {
        debug_assert_ne!(frame.picture.format(), PixelFormat::Opaque);
        if key && self.begun && self.plan.anew {
            self.child.close();
            let fresh = self.plan.start(frame)?;
            self.done.push_back(std::mem::replace(&mut self.child, fresh));
        }
        let tick = self.last_tick.map_or(tick.max(0), |last| tick.max(last + 1));
        self.last_tick = Some(tick);
        if !self.begun {
            self.at = (0, tick);
        } else if key {
            self.at = (self.at.0 + 1, tick);
        }
        self.begun = true;
        let cell = self.plan.cell;
        let inside = tick.saturating_sub(self.at.1).min(cell - 1);
        let at = self.plan.time(self.at.0.saturating_mul(cell).saturating_add(inside));
        self.pending.push_back(Pending { at, pts: frame.pts, duration: frame.duration, key });
        self.times.push_back(frame.pts.ticks());
        self.plan.feed(&mut self.child, frame, at)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.child.close();
        Ok(())
    }

    fn pull(&mut self, id: TrackId) -> Result<Option<Packet>, Error> {
        loop {
            let found = match self.done.front_mut() {
                Some(old) => match old.read()? {
                    Some(found) => Some(found),
                    None => {
                        self.done.pop_front();
                        continue;
                    }
                },
                // Nothing went in, and a program that got nothing has nothing to say but that.
                None if !self.begun => None,
                None => self.child.read()?,
            };
            match found {
                None => return Ok(None),
                Some(Found::Packet { at, key, data }) => return self.packet(id, at, key, data).map(Some),
                Some(Found::Track { private, .. }) if private != self.config => {
                    return Err(failed("what it says about its stream is not what it said before".into()));
                }
                Some(Found::Track { .. }) => self.shift = None,
            }
        }
    }
}
