//! What a manifest must know of a rendition: plain data that serialises.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sv_codec::{ac3, ac4, dtsx};
use sv_core::{Codec, ColorInfo, Duration, KeyId, Ratio, Scheme, TimeBase, Timestamp, Track, TrackKind};

use crate::{Error, Form, Layout, Role};

/// One stream of a presentation, with all of its segments so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rendition {
    /// Its name and the stem of its files: letters, digits, `-` and `_`.
    pub name: String,
    /// What its track says.
    pub info: Info,
    /// How its segments are stored.
    pub layout: Layout,
    /// What its segments are written as.
    #[serde(default)]
    pub form: Form,
    /// Whether files of segments are named by when they start, in ticks, and not by their numbers.
    #[serde(default)]
    pub named_by_time: bool,
    /// Bytes of the initialisation segment.
    pub init_bytes: u64,
    /// Offset and bytes of the segment index in a single file, once it is written.
    pub index: Option<(u64, u64)>,
    /// The segments, in order.
    pub segments: Vec<SegmentRecord>,
    /// The rendition that it shows in fast motion, if it is a trick-play rendition.
    pub trick_play_of: Option<String>,
    /// Whether manifests of DASH alone name it, because HLS has the same in another form.
    #[serde(default)]
    pub dash_alone: bool,
    /// How many breaks of the source came before it: each begins the rendition anew, with an initialisation
    /// of its own. 0 for what comes from a file.
    #[serde(default)]
    pub epoch: u32,
    /// When its first segment started; a window may have left that one behind.
    #[serde(default)]
    pub began: Option<u64>,
}

/// What a manifest must know of a segment. Times are in the rendition's timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// Its number, part of its file's name.
    pub number: u64,
    /// When its first picture or sound is shown; never negative.
    pub start: u64,
    /// How long it is shown.
    pub duration: u64,
    /// Its size.
    pub bytes: u64,
    /// Bytes to behind its first key picture, 0 without one.
    pub key_bytes: u64,
    /// Where it begins in a single file, 0 in a file of its own.
    pub offset: u64,
    /// Packets in it: what an encryptor has to count on from after a restart.
    pub packets: u32,
    /// The key that it is encrypted with; `None` when it is clear.
    #[serde(default)]
    pub kid: Option<KeyId>,
}

/// What a track says to manifests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Info {
    /// `video`, `audio` or `text`.
    pub kind: TrackKind,
    /// RFC 6381, such as `avc1.64001f`.
    pub codec: String,
    /// HLS's `SUPPLEMENTAL-CODECS`, such as `dvh1.08.01/db1p`.
    #[serde(default)]
    pub supplemental: Option<String>,
    /// Ticks per second of its segments.
    pub timescale: u32,
    /// Ticks that its media timeline runs ahead of the presentation, for reordered pictures.
    pub reorder: u64,
    /// Width and height in samples.
    pub size: Option<(u32, u32)>,
    /// Width of a sample over its height, where it is not 1.
    pub sample_aspect: Option<Ratio>,
    /// Frames per second.
    pub frame_rate: Option<Ratio>,
    /// Standard or high dynamic range.
    pub range: VideoRange,
    /// Colour code points.
    pub color: ColorInfo,
    /// Samples per second of sound.
    pub sample_rate: Option<u32>,
    /// Channels of sound, where it isn't mixed for as many as a player has.
    pub channels: Option<u16>,
    /// Of Dolby Atmos in E-AC-3: its complexity index, which is how many objects there are.
    #[serde(default)]
    pub objects: Option<u8>,
    /// Of AC-4 its groups of loudspeakers as Dolby counts them (ETSI TS 103 190-2, A.3), of DTS:X its loudspeakers as DTS
    /// does (ETSI TS 103 491).
    #[serde(default)]
    pub speakers: Option<u32>,
    /// BCP 47 language.
    pub language: Option<String>,
    /// A name for people.
    pub label: Option<String>,
    /// Whether players should choose it when nobody has said otherwise.
    pub default: bool,
    /// Whether text is shown even to people who have not asked for it.
    pub forced: bool,
    /// Whether text describes sounds too.
    pub captions: bool,
    /// What it is for; empty where what it is says enough.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Captions that its pictures carry.
    #[serde(default)]
    pub carried: Vec<Carried>,
    /// How it is encrypted.
    pub key: Option<Key>,
    /// Bits per second that manifests give as its peak, instead of what is measured.
    #[serde(default)]
    pub told_bandwidth: Option<u64>,
}

/// Captions that pictures carry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Carried {
    /// Their name in HLS (`INSTREAM-ID`): `CC1` to `CC4` of CEA-608, `SERVICE1` to `SERVICE63` of CEA-708.
    pub name: String,
    /// BCP 47 language, if it is known.
    pub language: Option<String>,
}

/// HLS's `VIDEO-RANGE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum VideoRange {
    /// Standard dynamic range.
    #[default]
    Sdr,
    /// Perceptual quantiser: HDR10 and kin.
    Pq,
    /// Hybrid log-gamma.
    Hlg,
}

/// What manifests say of a key: its name, never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The protection scheme.
    pub scheme: Scheme,
    /// The key's name; segments may be under others, or clear.
    pub kid: KeyId,
    /// The initialisation vector that playlists have to tell, of [`Scheme::SampleAes`].
    #[serde(default)]
    pub iv: Option<[u8; 16]>,
    /// The `pssh` boxes, in base64.
    pub pssh: Vec<String>,
}

impl Info {
    /// What `track` says.
    ///
    /// # Errors
    /// [`Error::Codec`] when its codec or configuration has no RFC 6381 string.
    pub fn of(track: &Track) -> Result<Self, Error> {
        let codec =
            sv_codec::rfc6381::string(track).ok_or(Error::Codec { track: track.id, codec: track.codec })?;
        let video = track.video();
        let audio = track.audio();
        let text = match &track.media {
            sv_core::Media::Text(text) => *text,
            _ => sv_core::TextInfo::default(),
        };
        let color = video.map(|v| v.color).unwrap_or_default();
        Ok(Self {
            kind: track.kind(),
            codec,
            supplemental: sv_codec::rfc6381::supplemental(track),
            timescale: track.time_base.den(),
            reorder: video.map_or(0, |v| v.reorder.ticks()),
            size: video.map(|v| (v.width, v.height)),
            sample_aspect: video.map(|v| v.sample_aspect).filter(|a| *a != Ratio::ONE),
            // Some files name the rate of their clock; what nobody films at is measured instead.
            frame_rate: video.and_then(|v| v.frame_rate).filter(|r| r.to_f64() <= 480.0),
            range: if color.is_pq() {
                VideoRange::Pq
            } else if color.is_hlg() {
                VideoRange::Hlg
            } else {
                VideoRange::Sdr
            },
            color,
            sample_rate: audio.map(|a| a.sample_rate).filter(|rate| *rate > 0),
            channels: audio.map(|a| a.channels).filter(|channels| *channels > 0),
            objects: match track.codec {
                Codec::Eac3 => ac3::parse_dec3(&track.config).ok().and_then(|config| config.objects),
                _ => None,
            },
            speakers: match track.codec {
                Codec::Ac4 => ac4::Config::parse(&track.config).ok().map(|config| config.mask),
                Codec::DtsX => dtsx::Config::parse(&track.config).ok().map(|config| config.mask),
                _ => None,
            },
            language: track.language.clone().filter(|l| l != "und"),
            label: track.label.clone(),
            default: track.default,
            forced: text.forced,
            captions: text.captions,
            roles: Vec::new(),
            carried: Vec::new(),
            told_bandwidth: None,
            key: track.protection.as_ref().map(|p| Key {
                scheme: p.scheme,
                kid: p.default_kid,
                iv: p
                    .constant_iv
                    .as_deref()
                    .and_then(|iv| iv.try_into().ok())
                    .filter(|_| p.scheme == Scheme::SampleAes),
                pssh: p.pssh.iter().map(|b| STANDARD.encode(b)).collect(),
            }),
        })
    }

    /// As manifests say it of segments of this form: browsers know VP8 in WebM by its old name alone.
    pub(crate) fn told_in(mut self, form: Form) -> Self {
        if form == Form::WebM && self.codec.starts_with("vp08.") {
            self.codec = "vp8".to_owned();
        }
        self
    }

    /// The time base of segment records.
    #[must_use]
    pub fn time_base(&self) -> TimeBase {
        TimeBase::new(1, self.timescale).unwrap_or(TimeBase::MILLIS)
    }
}

/// Bits per second of a rendition, as measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// The largest rate of any run of segments between half and one and a half target durations
    /// long: the peak segment bit rate of RFC 8216, section 4.3.4.2.
    pub peak: u64,
    /// All bytes over all time.
    pub average: u64,
}

impl Rendition {
    /// The path of the file that a segment is in.
    #[must_use]
    pub fn path_of(&self, segment: &SegmentRecord) -> String {
        self.path(if self.named_by_time { segment.start } else { segment.number })
    }

    /// The path of the file that segment `number` is in, where files are named by numbers, or of the one that starts then.
    #[must_use]
    pub fn path(&self, number: u64) -> String {
        let name = &self.name;
        match (self.layout, self.form) {
            (Layout::Sidecar, _) => format!("{name}.{}", self.packed().0),
            (Layout::Files, Form::Cmaf) => format!("{name}/{number}.m4s"),
            (Layout::SingleFile, Form::Cmaf) => format!("{name}.mp4"),
            (Layout::Files, Form::WebM) => format!("{name}/{number}.webm"),
            (Layout::SingleFile, Form::WebM) => format!("{name}.webm"),
            (Layout::Files, Form::Ts | Form::Text) => format!("{name}/{number}.{}", self.packed().0),
            (Layout::SingleFile, Form::Ts | Form::Text) => format!("{name}.{}", self.packed().0),
        }
    }

    /// The path of its initialisation segment.
    #[must_use]
    pub fn init_path(&self) -> String {
        match (self.layout, self.epoch) {
            (Layout::SingleFile | Layout::Sidecar, _) => self.path(0),
            (Layout::Files, 0) => format!("{}/init.{}", self.name, self.init_extension()),
            (Layout::Files, epoch) => format!("{}/init-{epoch}.{}", self.name, self.init_extension()),
        }
    }

    const fn init_extension(&self) -> &'static str {
        if matches!(self.form, Form::WebM) { "webm" } else { "mp4" }
    }

    /// Extension and media type of segments that are no MP4.
    fn packed(&self) -> (&'static str, &'static str) {
        match self.info.codec.split('.').next() {
            _ if self.info.kind == TrackKind::Video => ("ts", "video/mp2t"),
            Some("wvtt") => ("vtt", "text/vtt"),
            Some("stpp") => ("ttml", "application/ttml+xml"),
            Some("ac-3") => ("ac3", "audio/ac3"),
            Some("ec-3") => ("ec3", "audio/eac3"),
            _ if matches!(self.info.codec.as_str(), "mp4a.6B" | "mp4a.69" | "mp3") => ("mp3", "audio/mpeg"),
            _ => ("aac", "audio/aac"),
        }
    }

    /// Whether its segments are MP4.
    pub(crate) fn is_mp4(&self) -> bool {
        self.layout != Layout::Sidecar && self.form == Form::Cmaf
    }

    /// Whether its segments stand behind an initialisation.
    pub(crate) fn has_init(&self) -> bool {
        self.layout != Layout::Sidecar && self.form.has_init()
    }

    /// Whether HLS names it: of TTML, only what is in MP4 (rfc8216bis, 3.1.4 and 3.1.5), and no WebM.
    pub(crate) fn in_hls(&self) -> bool {
        self.form != Form::WebM
            && !self.dash_alone
            && self.trick_play_of.is_none()
            && (self.is_mp4() || !self.info.codec.starts_with("stpp"))
    }

    /// Whether its segments leave in parts where those of others do: neither text nor fast motion does.
    pub(crate) fn may_have_parts(&self) -> bool {
        self.form == Form::Cmaf && self.trick_play_of.is_none() && self.info.kind != TrackKind::Text
    }

    /// What files of segments end with, behind a dot.
    pub(crate) fn extension(&self) -> &'static str {
        match self.form {
            Form::Cmaf => "m4s",
            Form::WebM => "webm",
            Form::Ts | Form::Text => self.packed().0,
        }
    }

    /// The media type of its files.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match (self.form, self.info.kind) {
            (Form::Ts | Form::Text, _) => self.packed().1,
            // Text in MP4 is an application's (ISO/IEC 14496-30, annex A; RFC 4337).
            (_, TrackKind::Text) => "application/mp4",
            (Form::Cmaf, TrackKind::Audio) => "audio/mp4",
            (Form::Cmaf, TrackKind::Video) => "video/mp4",
            (Form::WebM, TrackKind::Audio) => "audio/webm",
            (Form::WebM, TrackKind::Video) => "video/webm",
        }
    }

    /// The end of the last segment in wall-clock length.
    #[must_use]
    pub fn duration(&self) -> std::time::Duration {
        let end = self.segments.last().map_or(0, |s| s.start.saturating_add(s.duration));
        Duration::new(end).to_std(self.info.time_base())
    }

    /// The longest segment, in whole seconds as HLS rounds them; at least 1.
    #[must_use]
    pub fn target_duration(&self) -> u64 {
        let longest = self.segments.iter().map(|s| s.duration).max().unwrap_or(0);
        let scale = u64::from(self.info.timescale.max(1));
        longest.saturating_add(scale.checked_div(2).unwrap_or(0)).checked_div(scale).unwrap_or(0).max(1)
    }

    /// Bytes stored, initialisation and index included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let index = self.index.map_or(0, |i| i.1);
        self.segments.iter().map(|s| s.bytes).fold(self.init_bytes.saturating_add(index), u64::saturating_add)
    }

    /// Packets of all segments.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.segments.iter().map(|s| u64::from(s.packets)).fold(0, u64::saturating_add)
    }

    /// Peak and average rate: measured, but for a peak that was told.
    #[must_use]
    pub fn bandwidth(&self) -> Bandwidth {
        let scale = u64::from(self.info.timescale);
        let rate = |bytes: u64, ticks: u64| {
            let bits = u128::from(bytes).saturating_mul(8).saturating_mul(u128::from(scale));
            let rate = bits.div_ceil(u128::from(ticks.max(1)));
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        let target = self.target_duration().saturating_mul(scale);
        let (half, most) = (target.div_ceil(2), target.saturating_add(target.checked_div(2).unwrap_or(0)));
        let mut peak = 0;
        for (i, _) in self.segments.iter().enumerate() {
            let (mut bytes, mut ticks) = (0u64, 0u64);
            for segment in self.segments.get(i..).unwrap_or_default() {
                bytes = bytes.saturating_add(segment.bytes);
                ticks = ticks.saturating_add(segment.duration);
                if ticks > most {
                    break;
                }
                if ticks >= half {
                    peak = peak.max(rate(bytes, ticks));
                }
            }
        }
        let bytes = self.segments.iter().map(|s| s.bytes).fold(0, u64::saturating_add);
        let ticks = self.segments.iter().map(|s| s.duration).fold(0, u64::saturating_add);
        let average = rate(bytes, ticks);
        Bandwidth { peak: self.info.told_bandwidth.unwrap_or(peak.max(average)), average }
    }

    /// Measured frames per second, where the track does not say: packets over time.
    #[must_use]
    pub fn frame_rate(&self) -> Option<f64> {
        if self.info.kind != TrackKind::Video {
            return None;
        }
        if let Some(rate) = self.info.frame_rate {
            return Some(rate.to_f64());
        }
        let seconds = self.duration().as_secs_f64();
        // Display only.
        #[allow(clippy::as_conversions)]
        let packets = self.packets() as f64;
        (seconds > 0.0).then(|| packets / seconds)
    }

    pub(crate) fn record(&mut self, segment: &sv_core::Segment, offset: u64) {
        let record = SegmentRecord::of(segment, offset);
        self.began.get_or_insert(record.start);
        self.segments.push(record);
    }
}

impl SegmentRecord {
    /// Whether it belongs behind a moment at which segments end, as [`Grid`](sv_core::Grid::cell_of) puts the packets of
    /// sound: a little of it may lie before.
    pub(crate) fn is_behind(&self, at: std::time::Duration, base: TimeBase) -> bool {
        let half =
            self.duration.checked_div(2).unwrap_or(0).min(u64::from(base.den()).checked_div(10).unwrap_or(0));
        Duration::new(self.start.saturating_add(half)).to_std(base) >= at
    }

    /// What is told of a segment that begins at `offset` of its file.
    pub(crate) fn of(segment: &sv_core::Segment, offset: u64) -> Self {
        let end = segment.start.saturating_add(segment.duration).max(Timestamp::ZERO);
        let start = segment.start.max(Timestamp::ZERO);
        Self {
            number: segment.number,
            start: start.ticks().unsigned_abs(),
            duration: end.since(start).unwrap_or_default().ticks(),
            bytes: segment.len(),
            key_bytes: segment.key_bytes,
            offset,
            packets: segment.packets,
            kid: segment.kid,
        }
    }
}
