//! Common Encryption, ISO/IEC 23001-7: `cenc`, `cens`, `cbc1` and `cbcs`; and HLS's encryption of samples in transport
//! streams, which differs from `cbcs` only in the ranges.

mod cipher;
mod keystream;
mod ranges;
mod room;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sv_core::{
    Codec, Duration, Item, KeyId, Packet, Protection, SampleKey, SampleProtection, Scheme, Stage, TimeBase,
    Timestamp, Track, TrackId, TrackKind,
};

use crate::schedule::Schedule;
use crate::{ContentKey, Error};
use cipher::{Cipher, Way};
use ranges::Ranges;
use room::Room;

/// Bytes that wait to be encrypted together, at most, but for one packet.
const WAITING: usize = 2 << 20;

/// What to encrypt with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The scheme. Browsers play `cenc` and `cbcs`; Apple's players only `cbcs`.
    pub scheme: Scheme,
    /// Names the key.
    pub kid: KeyId,
    /// The key.
    pub key: ContentKey,
    /// Where initialisation vectors begin: random, and different for every track that shares the
    /// key, or the same keystream would cover two tracks. `cenc`, `cens` and `cbc1` count up from
    /// the first 8 bytes, a vector for each sample; `cbcs` and SAMPLE-AES use all 16 for every sample.
    pub iv: [u8; 16],
    /// Samples of the track that an earlier run has encrypted with this key and `iv`.
    pub first_sample: u64,
    /// Whole `pssh` boxes to announce the key with.
    pub pssh: Vec<Bytes>,
}

/// Encrypts the packets of one track or several, in decode order.
///
/// Under [`Scheme::Aes128`] the packets are only told which key they are under: [`aes128`](crate::aes128) encrypts the
/// segments that are made of them.
pub struct Encryptor {
    config: Config,
    schedule: Option<Schedule>,
    tracks: HashMap<TrackId, State>,
    /// Packets that are encrypted together, and those that wait for it, all of one track and under one key.
    together: usize,
    waiting: Vec<(Packet, BytesMut)>,
    room: Room,
    ready: VecDeque<Item>,
}

struct State {
    cipher: Cipher,
    ranges: Ranges,
    next: u64,
    base: TimeBase,
    /// When the first packet of the segment at hand is shown and for how long, and what is done with the segment.
    begin: Option<(Timestamp, Duration)>,
    clear: bool,
    /// The key, where it isn't the track's own.
    key: Option<Arc<SampleKey>>,
}

impl std::fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encryptor").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Encryptor {
    /// An encryptor that has seen no track yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            schedule: None,
            tracks: HashMap::new(),
            together: 1,
            waiting: Vec::new(),
            room: Room::default(),
            ready: VecDeque::new(),
        }
    }

    /// Encrypts so many packets at a time: they come out when as many have gone in, or when something else comes.
    /// That is several times as fast under `cbcs`, and of no use where somebody waits for each packet.
    #[must_use]
    pub fn together(mut self, packets: usize) -> Self {
        self.together = packets.max(1);
        self
    }

    /// Leaves segments clear, or changes the key from time to time.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Announces the key on a track: the track as it is once its packets are encrypted.
    ///
    /// # Errors
    /// [`Error::Encrypted`] and [`Error::Codec`].
    pub fn protect(&self, track: &Track) -> Result<Track, Error> {
        if track.protection.is_some() {
            return Err(Error::Encrypted { track: track.id });
        }
        Ranges::new(track, self.config.scheme)?;
        let constant = constant(self.config.scheme);
        let mut track = track.clone();
        track.protection = Some(Protection {
            scheme: self.config.scheme,
            default_kid: self.config.kid,
            pattern: pattern(self.config.scheme, track.kind()),
            iv_size: if constant { 0 } else { 8 },
            constant_iv: constant.then(|| Bytes::copy_from_slice(&self.config.iv)),
            pssh: self.config.pssh.clone(),
            clear_lead: self.schedule.as_ref().is_some_and(|s| !s.clear_lead.is_zero()),
        });
        Ok(track)
    }

    fn track(&mut self, track: &Track) -> Result<Item, Error> {
        let protected = self.protect(track)?;
        // A track that is described again goes on counting: a vector is never used twice.
        let next = self.tracks.get(&track.id).map_or(self.config.first_sample, |s| s.next);
        let pattern = pattern(self.config.scheme, track.kind());
        let cipher = Cipher::new(&self.config.key, self.config.scheme, pattern);
        let ranges = Ranges::new(track, self.config.scheme)?;
        let state =
            State { cipher, ranges, next, base: track.time_base, begin: None, clear: false, key: None };
        self.tracks.insert(track.id, state);
        Ok(Item::Track(Arc::new(protected)))
    }

    fn packet(&mut self, packet: Packet) -> Result<(), Error> {
        if self.waiting.first().is_some_and(|(first, _)| first.track != packet.track) {
            self.flush()?;
        }
        let track = packet.track;
        let dts = packet.dts.ticks();
        let bad = |reason| Error::Bitstream { track, dts, reason };
        let state = self.tracks.get_mut(&track).ok_or(Error::Order { track })?;
        let turns = self.schedule.as_ref().is_some_and(|schedule| state.follow(schedule, &packet));
        if turns {
            self.flush()?;
        }
        let state = self.tracks.get_mut(&track).ok_or(Error::Order { track })?;
        if let Some(schedule) = self.schedule.as_ref().filter(|_| turns) {
            state.turn(schedule, &self.config, track)?;
        }
        let mut iv = self.config.iv;
        if !constant(self.config.scheme) {
            let (start, counter) = iv.split_at_mut(8);
            let base = <[u8; 8]>::try_from(&*start).map_or(0, u64::from_be_bytes);
            start.copy_from_slice(&base.wrapping_add(state.next).to_be_bytes());
            counter.fill(0);
        }
        state.next = state.next.wrapping_add(1);
        // Clear ones are looked at too: parameter sets in them count for those that follow.
        let subsamples = state.ranges.map(&packet.data, self.config.scheme).map_err(bad)?;
        if state.clear {
            self.flush()?;
            self.ready.push_back(Item::Packet(packet));
            return Ok(());
        }
        let protection = SampleProtection { iv, subsamples: subsamples.into(), key: state.key.clone() };
        let Packet { data, .. } = packet;
        let mut packet = Packet { data: Bytes::new(), protection: Some(protection), ..packet };
        if self.config.scheme == Scheme::Aes128 {
            packet.data = data;
            self.ready.push_back(Item::Packet(packet));
            return Ok(());
        }
        let data = data.try_into_mut().unwrap_or_else(|shared| self.room.copy(&shared));
        self.waiting.push((packet, data));
        let bytes = self.waiting.iter().fold(0usize, |sum, (_, data)| sum.saturating_add(data.len()));
        if self.waiting.len() >= self.together || bytes >= WAITING { self.flush() } else { Ok(()) }
    }

    /// Encrypts what waits.
    fn flush(&mut self) -> Result<(), Error> {
        let Some((first, _)) = self.waiting.first() else { return Ok(()) };
        let (track, dts) = (first.track, first.dts.ticks());
        let state = self.tracks.get(&track).ok_or(Error::Order { track })?;
        let samples = self.waiting.iter_mut().filter_map(|(packet, data)| {
            let sample = packet.protection.as_ref()?;
            Some((&mut data[..], sample.iv, &*sample.subsamples))
        });
        if !state.cipher.encrypt(samples) {
            return Err(Error::Bitstream { track, dts, reason: "its subsamples do not add up to its size" });
        }
        let done = self.waiting.drain(..).map(|(packet, data)| Packet { data: data.freeze(), ..packet });
        self.ready.extend(done.map(Item::Packet));
        Ok(())
    }
}

impl State {
    /// Whether a segment begins with this packet.
    fn follow(&mut self, schedule: &Schedule, packet: &Packet) -> bool {
        let cell = |(pts, duration)| schedule.grid.cell_of(pts, duration, self.base);
        let here = (packet.pts, packet.duration);
        if self.begin.is_some_and(|begin| !packet.key || cell(here) <= cell(begin)) {
            return false;
        }
        self.begin = Some(here);
        true
    }

    /// Does as the schedule says of the segment that has begun: clear or not, under which key.
    fn turn(&mut self, schedule: &Schedule, config: &Config, track: TrackId) -> Result<(), Error> {
        let Some((pts, duration)) = self.begin else { return Ok(()) };
        let period = schedule.period(schedule.grid.cell_of(pts, duration, self.base));
        self.clear = period.is_none();
        let (Some(period), Some(rotation)) = (period, &schedule.rotation) else { return Ok(()) };
        let pattern = self.cipher.pattern();
        let Some(number) = period.checked_sub(1) else {
            self.cipher = Cipher::new(&config.key, config.scheme, pattern);
            self.key = None;
            return Ok(());
        };
        let later = rotation.later.get(number).ok_or(Error::NoPeriod { track, period })?;
        if self.key.as_ref().is_none_or(|key| key.kid != later.kid) {
            self.cipher = Cipher::new(&later.key, config.scheme, pattern);
            self.key = Some(Arc::new(SampleKey { kid: later.kid, pssh: later.pssh.clone() }));
        }
        Ok(())
    }
}

/// Whether one vector serves all samples.
const fn constant(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Cbcs | Scheme::SampleAes)
}

/// ISO/IEC 23001-7, section 10: `cbcs` covers one block of ten in video, and all of them in audio. So does SAMPLE-AES.
fn pattern(scheme: Scheme, kind: TrackKind) -> (u8, u8) {
    match (scheme, kind) {
        (Scheme::Cens | Scheme::Cbcs | Scheme::SampleAes, TrackKind::Video) => (1, 9),
        _ => (0, 0),
    }
}

impl Stage for Encryptor {
    type Error = Error;

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match item {
            Item::Packet(packet) => return self.packet(packet),
            Item::Track(track) => {
                self.flush()?;
                let item = self.track(&track)?;
                self.ready.push_back(item);
            }
            Item::Cue(cue) => {
                self.flush()?;
                if let Some(schedule) = &mut self.schedule {
                    schedule.grid.cut(cue.at);
                }
                self.ready.push_back(Item::Cue(cue));
            }
            other => {
                self.flush()?;
                self.ready.push_back(other);
            }
        }
        Ok(())
    }

    fn pull(&mut self) -> Result<Option<Item>, Error> {
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.flush()
    }
}

/// Decrypts one packet of a track that carries `protection`, in place where its bytes are not shared. Which key is wanted,
/// [`Protection::kid`] says.
///
/// # Errors
/// [`Error::Bitstream`] when the packet's subsamples do not add up to its size.
pub fn decrypt(protection: &Protection, key: &ContentKey, packet: Packet) -> Result<Packet, Error> {
    let Some(sample) = packet.protection.clone() else { return Ok(packet) };
    let cipher = Cipher::new(key, protection.scheme, protection.pattern);
    let mut iv = sample.iv;
    // Under a key of its own a packet comes with that key's vector.
    if let (Some(constant), None) = (&protection.constant_iv, &sample.key) {
        iv = [0; 16];
        for (to, from) in iv.iter_mut().zip(constant.iter()) {
            *to = *from;
        }
    }
    let mut data = packet.data.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    cipher.apply(&mut data, iv, &sample.subsamples, Way::Decrypt).ok_or(Error::Bitstream {
        track: packet.track,
        dts: packet.dts.ticks(),
        reason: "its subsamples do not add up to its size",
    })?;
    Ok(Packet { data: data.freeze(), protection: None, ..packet })
}

/// Whether [`Encryptor`] can encrypt tracks of this codec by this scheme.
#[must_use]
pub fn supports(codec: Codec, scheme: Scheme) -> bool {
    ranges::supports(codec, scheme)
}

/// Cipher block chaining over whole blocks of anything.
pub(crate) fn chained(key: &ContentKey, iv: [u8; 16], data: &mut [u8], encrypt: bool) {
    let mut chain = iv;
    let way = if encrypt { Way::Encrypt } else { Way::Decrypt };
    Cipher::new(key, Scheme::Aes128, (0, 0)).chained(data, &mut chain, way);
}
