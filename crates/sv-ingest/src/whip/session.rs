//! One sender: what it offered, and what comes of it.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use str0m::change::SdpOffer;
use str0m::format::{Codec as Format, FormatParams};
use str0m::media::{KeyframeRequestKind, MediaData, MediaKind, Mid, Rid, Rids};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{Extension, ExtensionMap};
use str0m::stats::MediaIngressStats;
use str0m::{Candidate, Event as RtcEvent, IceConnectionState, Input, Output as RtcOutput, Rtc, RtcConfig};
use sv_core::{Codec, Item, Limits, Timestamp, Track, TrackId};

use super::Fragment;
use crate::health::Link;
use crate::lane::{Lane, Seen};
use crate::timeline::{StreamId, Timeline};
use crate::{Error, Result};

/// What an offer may be long at most.
pub const MOST_OFFER: usize = 64 << 10;
/// M-lines of an offer at most.
const MOST_MEDIA: usize = 8;
/// Layers of one m-line at most.
const MOST_LAYERS: usize = 4;
/// Candidates of a session at most, those that came later among them.
const MOST_CANDIDATES: usize = 64;
/// How often key pictures and layers are looked at.
const ROUND: Duration = Duration::from_millis(250);
/// How soon a key picture is asked for again that is needed.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a layer may be silent before a lower one takes its place.
const SILENT: Duration = Duration::from_secs(1);
/// How often what is known of the line is told.
const TELL: Duration = Duration::from_secs(1);
/// Packets of pictures that wait for one that is missing: a key picture of 4K has a few hundred.
const REORDER: usize = 2048;

/// A way on which datagrams come: each kind has one address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// UDP.
    Udp,
    /// TCP, behind [`Framing`](super::Framing).
    Tcp,
}

/// An address at which senders reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// How.
    pub way: Way,
    /// Where, as the other side knows it.
    pub at: SocketAddr,
}

/// What happens in a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// A datagram for the other side.
    Send {
        /// How it goes.
        way: Way,
        /// Where it goes.
        to: SocketAddr,
        /// The datagram.
        data: Bytes,
    },
    /// The other side is there, and is who it said.
    Connected,
    /// A track or a packet.
    Item(Item),
    /// What is known of the line, once a second.
    Link(Link),
    /// The other side has gone, with a sentence that says how.
    Ended(&'static str),
    /// Nothing more until then, or until something comes.
    Wait(Instant),
}

/// One sender, without a socket, clock or thread: datagrams and moments go in, [`Output`]s come out.
///
/// Of a sender that sends pictures in several sizes (simulcast), the largest that comes is taken: its hub has one stream for
/// who watches, and that needs pictures at all times rather than at all sizes.
pub struct Session {
    rtc: Rtc,
    born: Instant,
    offer: String,
    ours: Vec<Address>,
    candidates: usize,
    limits: Limits,
    interval: Duration,
    timeline: Timeline,
    media: Vec<MediaLine>,
    round: Instant,
    link: Link,
    out: VecDeque<Output>,
    connected: bool,
    ended: bool,
}

struct MediaLine {
    mid: Mid,
    id: TrackId,
    layers: Vec<Layer>,
    /// The layer that is taken.
    taken: Option<usize>,
    /// When the last packet is decoded: layers have clocks of their own, and time doesn't go back between them.
    last: Option<Timestamp>,
}

struct Layer {
    rid: Option<Rid>,
    lane: Lane,
    stream: StreamId,
    /// Of the last report: they come with each frame.
    report: Option<SystemTime>,
    /// When something came last, a key picture, and when one was asked for.
    heard: Instant,
    key: Option<Instant>,
    asked: Option<Instant>,
    /// Whether a key picture is needed.
    wants: bool,
}

fn refused(error: impl fmt::Display) -> Error {
    Error::Denied { reason: format!("the offer can't be taken: {error}") }
}

fn failed(error: str0m::RtcError) -> Error {
    Error::Denied { reason: format!("the connection has failed: {error}") }
}

fn codec_of(format: Format) -> Option<Codec> {
    Some(match format {
        Format::H264 => Codec::H264,
        Format::H265 => Codec::Hevc,
        Format::Vp8 => Codec::Vp8,
        Format::Vp9 => Codec::Vp9,
        Format::Av1 => Codec::Av1,
        Format::Opus => Codec::Opus,
        _ => return None,
    })
}

/// What is taken: everything whose packets are understood here. Pictures are to be turned by who sends them, so the
/// extension that says how they lie is not among these.
fn config() -> RtcConfig {
    let mut extensions = ExtensionMap::empty();
    extensions.set(2, Extension::AbsoluteSendTime);
    extensions.set(3, Extension::TransportSequenceNumber);
    extensions.set(4, Extension::RtpMid);
    extensions.set(10, Extension::RtpStreamId);
    extensions.set(11, Extension::RepairedRtpStreamId);
    let mut config = RtcConfig::new()
        .set_ice_lite(true)
        .clear_codecs()
        .set_extension_map(extensions)
        .set_reordering_size_video(REORDER)
        .set_stats_interval(Some(TELL))
        .enable_opus(true, false)
        .enable_vp8(true)
        .enable_h264(true)
        .enable_h265(true)
        .enable_vp9(true)
        .enable_av1(true);
    // Constrained High, as browsers on phones have it.
    let format = FormatParams {
        level_asymmetry_allowed: Some(true),
        packetization_mode: Some(1),
        profile_level_id: Some(0x64_0C1F),
        ..FormatParams::default()
    };
    let rate = str0m::media::Frequency::NINETY_KHZ;
    config.codec_config().add_config(39.into(), Some(40.into()), Format::H264, rate, None, format);
    config
}

const fn protocol(way: Way) -> Protocol {
    match way {
        Way::Udp => Protocol::Udp,
        Way::Tcp => Protocol::Tcp,
    }
}

impl Session {
    /// Takes an offer, and gives the session with its answer. Senders find it at `ours`; a key picture is asked for when
    /// none has come for `interval`.
    ///
    /// # Errors
    /// When the offer is too long, is none, or has nothing that could be taken.
    pub fn accept(
        offer: &str,
        ours: &[Address],
        interval: Duration,
        limits: Limits,
        now: Instant,
    ) -> Result<(Self, String)> {
        if offer.len() > MOST_OFFER {
            let limit = u64::try_from(MOST_OFFER).unwrap_or(u64::MAX);
            return Err(Error::LimitExceeded { what: "the offer", limit });
        }
        let lines = || offer.lines().filter(|line| line.starts_with("m="));
        if lines().count() > MOST_MEDIA {
            let limit = u64::try_from(MOST_MEDIA).unwrap_or(u64::MAX);
            return Err(Error::LimitExceeded { what: "the number of m-lines in the offer", limit });
        }
        if lines().any(|line| line.starts_with("m=application")) {
            return Err(refused("it has a data channel, and nobody would read it"));
        }
        let parsed = SdpOffer::from_sdp_string(offer).map_err(refused)?;
        let mut rtc = config().build(now);
        for address in ours {
            let kind = Candidate::builder();
            let candidate = match address.way {
                Way::Udp => kind.udp().host(address.at).build(),
                Way::Tcp => kind.tcp().host(address.at).tcptype(TcpType::Passive).build(),
            };
            rtc.add_local_candidate(candidate.map_err(refused)?);
        }
        let answer = rtc.sdp_api().accept_offer(parsed).map_err(refused)?.to_sdp_string();
        let mut session = Self {
            rtc,
            born: now,
            offer: offer.to_owned(),
            ours: ours.to_vec(),
            candidates: 0,
            limits,
            interval,
            timeline: Timeline::default(),
            media: Vec::new(),
            round: now,
            link: Link::default(),
            out: VecDeque::new(),
            connected: false,
            ended: false,
        };
        for mid in offer.lines().filter_map(|line| line.strip_prefix("a=mid:")) {
            session.add(Mid::from(mid.trim_end()), now);
        }
        if session.media.is_empty() {
            return Err(refused("it has neither pictures nor sound in a coding that is known here"));
        }
        Ok((session, answer))
    }

    /// The name by which the other side says whom it means, in the first part of a STUN user name.
    pub fn name(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// Whether a fragment has another name and password of ICE than this session: it begins ICE anew.
    #[must_use]
    pub fn is_new(&self, fragment: &Fragment) -> bool {
        let known =
            |name: &str| self.offer.lines().any(|line| line.strip_prefix("a=ice-ufrag:") == Some(name));
        fragment.credentials.as_ref().is_some_and(|(name, _)| !known(name))
    }

    /// Takes what came later: more candidates, or ICE's new name and password, for which ours are given in exchange.
    ///
    /// # Errors
    /// When there are too many candidates, or the new name can't be taken.
    pub fn patch(&mut self, fragment: &Fragment) -> Result<Option<Fragment>> {
        let mut restarted = None;
        if let Some((name, password)) = fragment.credentials.as_ref().filter(|_| self.is_new(fragment)) {
            let mut offer = String::with_capacity(self.offer.len());
            for line in self.offer.lines() {
                match line.split_once(':') {
                    Some(("a=ice-ufrag", _)) => offer.extend(["a=ice-ufrag:", name, "\r\n"]),
                    Some(("a=ice-pwd", _)) => offer.extend(["a=ice-pwd:", password, "\r\n"]),
                    Some(("a=candidate", _)) => {}
                    _ => offer.extend([line, "\r\n"]),
                }
            }
            let parsed = SdpOffer::from_sdp_string(&offer).map_err(refused)?;
            let answer = self.rtc.sdp_api().accept_offer(parsed).map_err(refused)?.to_sdp_string();
            self.offer = offer;
            let of = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let credentials = of("a=ice-ufrag:").zip(of("a=ice-pwd:"));
            let candidates = answer.lines().filter_map(|line| line.strip_prefix("a="));
            let candidates = candidates.filter(|line| line.starts_with("candidate:")).map(str::to_owned);
            let mut candidates: Vec<String> = candidates.collect();
            candidates.dedup();
            restarted = Some(Fragment { mid: of("a=mid:"), credentials, candidates, end: true });
        }
        for candidate in &fragment.candidates {
            self.candidates = self.candidates.saturating_add(1);
            if self.candidates > MOST_CANDIDATES {
                let limit = u64::try_from(MOST_CANDIDATES).unwrap_or(u64::MAX);
                return Err(Error::LimitExceeded { what: "the number of candidates", limit });
            }
            // Names of browsers that hide addresses, and whatever else isn't known: it is they who come to us.
            if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
                self.rtc.add_remote_candidate(candidate);
            }
        }
        Ok(restarted)
    }

    /// A datagram has come. False where it isn't for this session, by what only the other side can know.
    ///
    /// # Errors
    /// When the session can't go on.
    pub fn receive(&mut self, way: Way, from: SocketAddr, data: &[u8], now: Instant) -> Result<bool> {
        let same = |address: &&Address| address.way == way && address.at.is_ipv4() == from.is_ipv4();
        let Some(to) = self.ours.iter().find(same) else { return Ok(false) };
        let Ok(receive) = Receive::new(protocol(way), from, to.at, data) else { return Ok(false) };
        let input = Input::Receive(now, receive);
        if !self.rtc.accepts(&input) {
            return Ok(false);
        }
        if let Err(error) = self.rtc.handle_input(input) {
            // Who only pretends to send from that address ends nothing.
            if !self.rtc.is_alive() {
                return Err(failed(error));
            }
            tracing::debug!(%error, "a datagram is left out");
        }
        Ok(true)
    }

    /// So late it is.
    ///
    /// # Errors
    /// When the session can't go on.
    pub fn tick(&mut self, now: Instant) -> Result<()> {
        self.rtc.handle_input(Input::Timeout(now)).map_err(failed)?;
        if now >= self.round {
            self.round = now.checked_add(ROUND).unwrap_or(now);
            if self.connected {
                self.look(now);
            }
        }
        Ok(())
    }

    /// What happens next. To be asked until it says to wait.
    ///
    /// # Errors
    /// When the session can't go on.
    pub fn poll(&mut self, now: Instant) -> Result<Output> {
        loop {
            if let Some(output) = self.out.pop_front() {
                return Ok(output);
            }
            match self.rtc.poll_output().map_err(failed)? {
                RtcOutput::Timeout(_)
                    if !self.rtc.is_alive() && !std::mem::replace(&mut self.ended, true) =>
                {
                    return Ok(Output::Ended("the connection has ended"));
                }
                RtcOutput::Timeout(at) => return Ok(Output::Wait(at.min(self.round))),
                other => self.hear(other, now),
            }
        }
    }

    /// Says good-bye: what is left to send comes out of [`poll`](Self::poll).
    pub fn close(&mut self) {
        // What can't be said any more needn't be.
        let _ = self.rtc.close();
    }

    fn hear(&mut self, output: RtcOutput, now: Instant) {
        match output {
            RtcOutput::Timeout(_) => {}
            RtcOutput::Transmit(transmit) => {
                let way = match transmit.proto {
                    Protocol::Udp => Way::Udp,
                    _ => Way::Tcp,
                };
                let data = Bytes::copy_from_slice(&transmit.contents);
                self.out.push_back(Output::Send { way, to: transmit.destination, data });
            }
            RtcOutput::Event(event) => match event {
                RtcEvent::Connected if !std::mem::replace(&mut self.connected, true) => {
                    self.out.push_back(Output::Connected);
                }
                RtcEvent::MediaData(data) => self.media(&data, now),
                RtcEvent::MediaIngressStats(stats) => self.ingress(&stats),
                RtcEvent::PeerStats(stats) => {
                    // Lines are told of behind the whole: this ends what was told before.
                    let link = std::mem::replace(&mut self.link, Link { rtt: stats.rtt, ..Link::default() });
                    if link != Link::default() {
                        self.out.push_back(Output::Link(link));
                    }
                }
                RtcEvent::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                    tracing::debug!("a sender by WHIP is silent");
                }
                RtcEvent::Closed if !std::mem::replace(&mut self.ended, true) => {
                    self.out.push_back(Output::Ended("the sender has ended it"));
                }
                _ => {}
            },
        }
    }

    /// Of several lines, how the worst does.
    fn ingress(&mut self, stats: &MediaIngressStats) {
        let video = self.media.iter().any(|line| line.mid == stats.mid && line.id.0 % 2 == 1);
        let rate = if video { 90_000.0 } else { 48_000.0 };
        let worst = |a: Option<f64>, b: f64| Some(a.map_or(b, |a| a.max(b)));
        if let Some(loss) = stats.loss {
            self.link.loss = worst(self.link.loss, loss.into());
        }
        let jitter = Duration::try_from_secs_f64(f64::from(stats.jitter) / rate).ok();
        self.link.jitter = self.link.jitter.max(jitter);
        self.link.rtt = self.link.rtt.max(stats.rtt);
    }

    fn add(&mut self, mid: Mid, now: Instant) {
        let Some(media) = self.rtc.media(mid).filter(|media| media.direction().is_receiving()) else {
            return;
        };
        if self.media.iter().any(|line| line.mid == mid) || media.remote_pts().is_empty() {
            return;
        }
        let video = media.kind() == MediaKind::Video;
        let rids: Vec<Option<Rid>> = match media.rids_rx() {
            Rids::Specific(rids) if !rids.is_empty() => {
                rids.iter().take(MOST_LAYERS).copied().map(Some).collect()
            }
            _ => vec![None],
        };
        let same = |line: &&MediaLine| (line.id.0 % 2 == 1) == video;
        let before = u32::try_from(self.media.iter().filter(same).count()).unwrap_or(0);
        let id = TrackId(before.saturating_mul(2).saturating_add(if video { 1 } else { 2 }));
        let rate = if video { 90_000 } else { 48_000 };
        let layers = rids.into_iter().map(|rid| Layer {
            rid,
            // The first frame says what it really is.
            lane: Lane::new(id, if video { Codec::H264 } else { Codec::Opus }, self.limits),
            stream: self.timeline.add(rate),
            report: None,
            heard: now,
            key: None,
            asked: None,
            wants: video,
        });
        let layers = layers.collect();
        self.media.push(MediaLine { mid, id, layers, taken: None, last: None });
    }

    fn media(&mut self, data: &MediaData, now: Instant) {
        let Some(codec) = codec_of(data.params.spec().codec) else { return };
        let Some(line) = self.media.iter_mut().find(|line| line.mid == data.mid) else { return };
        let only = line.layers.len() == 1;
        let Some(n) = line.layers.iter().position(|layer| only || layer.rid == data.rid) else { return };
        let Some(layer) = line.layers.get_mut(n) else { return };
        if layer.lane.codec() != codec {
            layer.lane = Lane::new(line.id, codec, self.limits);
        }
        let clock = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        let came = data.network_time.saturating_duration_since(self.born);
        let at = self.timeline.at(layer.stream, clock(data.time.numer()), came);
        if let Some(report) = &data.last_sender_info
            && layer.report != Some(report.ntp_time)
            && let Ok(wall) = report.ntp_time.duration_since(UNIX_EPOCH)
        {
            layer.report = Some(report.ntp_time);
            self.timeline.report(layer.stream, clock(report.rtp_time.numer()), wall);
        }
        let whole = data.contiguous || layer.lane.track().is_none();
        if !whole {
            tracing::debug!(%codec, at, "packets are missing before a picture");
        }
        let mut items = Vec::new();
        let frame = Bytes::from_owner(Arc::clone(&data.data));
        let seen = layer.lane.push(frame, at, whole, |item| items.push(item));
        layer.heard = now;
        match seen {
            Seen::Key => (layer.key, layer.wants) = (Some(now), false),
            Seen::Lost => {
                tracing::debug!(%codec, at, "a frame that needs what isn't there is left out");
                layer.wants |= layer.rid.is_some() || codec != Codec::Opus;
            }
            Seen::Other => {}
        }
        if line.taken != Some(n) {
            if seen != Seen::Key || !line.is_better(n, now) {
                return;
            }
            line.taken = Some(n);
            let track = line.layers.get(n).and_then(|layer| layer.lane.track().cloned());
            items.retain(|item| !matches!(item, Item::Track(_)));
            items.splice(0..0, track.map(Item::Track));
        }
        for item in &mut items {
            if let Item::Packet(packet) = item {
                let after = line.last.map_or(packet.dts, |last| last.offset(1));
                packet.dts = packet.dts.max(after);
                packet.pts = packet.pts.max(packet.dts);
                line.last = Some(packet.dts);
            }
        }
        self.out.extend(items.into_iter().map(Output::Item));
    }

    /// Asks for key pictures.
    fn look(&mut self, now: Instant) {
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        for line in &mut self.media {
            let quiet = line
                .taken
                .and_then(|n| line.layers.get(n))
                .is_none_or(|layer| now.saturating_duration_since(layer.heard) > SILENT);
            let several = line.layers.len() > 1;
            for (n, layer) in line.layers.iter_mut().enumerate() {
                let none_for_long = since(layer.key).is_none_or(|passed| passed >= self.interval);
                // Another layer can only be gone over to at a key picture of its own.
                let taken = line.taken == Some(n) || line.taken.is_none();
                let needed = layer.wants || (several && !taken && quiet);
                let patience = if needed { AGAIN } else { self.interval };
                if (needed || none_for_long)
                    && line.id.0 % 2 == 1
                    && since(layer.asked).is_none_or(|passed| passed >= patience)
                {
                    layer.asked = Some(now);
                    if let Some(mut writer) = self.rtc.writer(line.mid) {
                        // Before the first packet there is nobody to ask.
                        let _ = writer.request_keyframe(layer.rid, KeyframeRequestKind::Pli);
                    }
                }
            }
        }
    }
}

impl MediaLine {
    /// Whether a layer should be taken in place of the one that is.
    fn is_better(&self, n: usize, now: Instant) -> bool {
        let area = |layer: &Layer| {
            let video = layer.lane.track().and_then(|track: &Arc<Track>| track.video());
            video.map_or(0, |video| u64::from(video.width).saturating_mul(u64::from(video.height)))
        };
        let Some(before) = self.taken.and_then(|taken| self.layers.get(taken)) else { return true };
        let silent = now.saturating_duration_since(before.heard) > SILENT;
        self.layers.get(n).is_some_and(|layer| silent || area(layer) > area(before))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("connected", &self.connected).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What FFmpeg 9.0.2 offers.
    const FFMPEG: &str = include_str!("../../tests/it/whip_offer.sdp");

    fn ours() -> [Address; 2] {
        let at = "192.0.2.1:7000".parse().unwrap();
        [Address { way: Way::Udp, at }, Address { way: Way::Tcp, at }]
    }

    fn accept(offer: &str) -> Result<(Session, String)> {
        Session::accept(offer, &ours(), Duration::from_secs(2), Limits::default(), Instant::now())
    }

    #[test]
    fn an_offer_is_answered_and_ice_begins_anew() {
        let offer = FFMPEG.replace('\n', "\r\n");
        let (mut session, answer) = accept(&offer).unwrap();
        for line in ["a=ice-lite", "a=recvonly", "a=setup:active", "a=group:BUNDLE 0 1"] {
            assert!(answer.contains(line), "{line}: {answer}");
        }
        assert_eq!(answer.matches("192.0.2.1 7000 typ host").count(), 2, "{answer}");
        assert_eq!(answer.matches("tcptype passive").count(), 1, "{answer}");
        let name = session.name();
        assert!(answer.contains(&format!("a=ice-ufrag:{name}\r\n")));
        let same = Fragment {
            credentials: Some(("335d45ea".into(), "7afdbf127c10f3840a1d81f7da57b39e".into())),
            ..Fragment::default()
        };
        assert!(!session.is_new(&same));
        assert_eq!(session.patch(&same).unwrap(), None);
        let new = Fragment { credentials: Some(("another".into(), "a".repeat(24))), ..Fragment::default() };
        assert!(session.is_new(&new));
        let ours = session.patch(&new).unwrap().unwrap();
        assert_eq!(ours.credentials.unwrap().0, session.name());
        assert_ne!(session.name(), name);
        assert_eq!(ours.candidates.len(), 2);
    }

    #[test]
    fn what_is_no_offer_is_refused() {
        let (_, _) = accept(&FFMPEG.replace('\n', "\r\n")).unwrap();
        let all = [
            String::new(),
            "v=0\r\n".into(),
            FFMPEG.replace("opus", "speex").replace("H264", "H261").replace('\n', "\r\n"),
            format!("{FFMPEG}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n").replace('\n', "\r\n"),
            "x".repeat(MOST_OFFER + 1),
        ];
        for offer in all {
            assert!(accept(&offer).is_err(), "{offer}");
        }
    }
}
