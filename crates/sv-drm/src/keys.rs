//! Which key is for which track, so that a licence can give sound and small pictures without the large ones.

use sv_core::{KeyId, Track, TrackKind};

use crate::{ContentKey, Error};

/// A class of tracks that can have a key of its own: those of shaka-packager, so key files say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Label {
    /// Sound.
    Audio,
    /// Pictures of up to 768x576.
    Sd,
    /// Pictures of up to 1920x1080.
    Hd,
    /// Pictures of up to 4096x2160.
    Uhd1,
    /// Larger pictures.
    Uhd2,
}

impl Label {
    const ALL: [Self; 5] = [Self::Audio, Self::Sd, Self::Hd, Self::Uhd1, Self::Uhd2];

    /// The class of a track; `None` for text.
    #[must_use]
    pub fn of(track: &Track) -> Option<Self> {
        match track.kind() {
            TrackKind::Audio => Some(Self::Audio),
            TrackKind::Text => None,
            TrackKind::Video => {
                let video = track.video()?;
                let samples = u64::from(video.width).saturating_mul(u64::from(video.height));
                Some(match samples {
                    0..=442_368 => Self::Sd,
                    442_369..=2_073_600 => Self::Hd,
                    2_073_601..=8_847_360 => Self::Uhd1,
                    _ => Self::Uhd2,
                })
            }
        }
    }

    /// Its name in key files: `AUDIO`, `SD`, `HD`, `UHD1`, `UHD2`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "AUDIO",
            Self::Sd => "SD",
            Self::Hd => "HD",
            Self::Uhd1 => "UHD1",
            Self::Uhd2 => "UHD2",
        }
    }
}

/// The keys of a presentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    label: Option<Label>,
    period: usize,
    kid: KeyId,
    key: ContentKey,
}

impl Keys {
    /// One key for all tracks.
    #[must_use]
    pub fn one(kid: KeyId, key: ContentKey) -> Self {
        Self(vec![Entry { label: None, period: 0, kid, key }])
    }

    /// Reads the text of a key file: one `KID:KEY` in hexadecimal a line, with the name of a [`Label`] and a space
    /// in front if it is for those tracks alone, and `@1`, `@2` and so on in front of it for keys of later crypto
    /// periods; `#` for comments.
    ///
    /// # Errors
    /// [`Error::Syntax`] at the first line that is none of them, and where two keys are for the same
    /// tracks and period; the message does not repeat the line.
    pub fn parse(text: &str) -> Result<Self, Error> {
        const SYNTAX: Error = Error::Syntax {
            what: "each line of a key file",
            expected: "KID:KEY, each of 32 hexadecimal digits, with AUDIO, SD, HD, UHD1 or UHD2 in front for a key \
                       of those tracks alone, and @1, @2 and so on for later crypto periods (a line that begins \
                       with # is a comment), and one key for each",
        };
        let mut keys: Vec<Entry> = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace().collect::<Vec<_>>();
            let (kid, key) = words.pop().and_then(|pair| pair.split_once(':')).ok_or(SYNTAX)?;
            let number = words.last().and_then(|word| word.strip_prefix('@'));
            let period = number.map_or(Ok(0), |n| n.parse().map_err(|_| SYNTAX))?;
            if number.is_some() {
                words.pop();
            }
            let label = match words[..] {
                [] => None,
                [name] => Some(Label::ALL.into_iter().find(|label| label.name() == name).ok_or(SYNTAX)?),
                _ => return Err(SYNTAX),
            };
            let kid = KeyId::from_hex(kid).ok_or(SYNTAX)?;
            if keys.iter().any(|other| other.label == label && other.period == period) {
                return Err(SYNTAX);
            }
            keys.push(Entry { label, period, kid, key: ContentKey::from_hex(key).map_err(|_| SYNTAX)? });
        }
        if keys.is_empty() { Err(SYNTAX) } else { Ok(Self(keys)) }
    }

    /// The key of a track: that of its own label, or else the one for all.
    ///
    /// # Errors
    /// [`Error::NoKey`] when neither is there.
    pub fn of(&self, track: &Track) -> Result<(KeyId, &ContentKey), Error> {
        self.of_period(track, 0).ok_or_else(|| {
            let label = Label::of(track);
            Error::NoKey { track: track.id, label: label.map_or("text", Label::name) }
        })
    }

    /// The key of a track in a crypto period, the first of which is 0.
    #[must_use]
    pub fn of_period(&self, track: &Track, period: usize) -> Option<(KeyId, &ContentKey)> {
        let label = Label::of(track);
        let find = |wanted| self.0.iter().find(|e| e.label == wanted && e.period == period);
        let own = self.0.iter().any(|e| e.label.is_some() && e.label == label);
        find(if own { label } else { None }).map(|e| (e.kid, &e.key))
    }

    /// The key of this name.
    #[must_use]
    pub fn named(&self, kid: KeyId) -> Option<&ContentKey> {
        self.0.iter().find(|e| e.kid == kid).map(|e| &e.key)
    }

    /// All keys with their names.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Label>, KeyId, &ContentKey)> {
        self.0.iter().map(|e| (e.label, e.kid, &e.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_never_repeated_in_errors() {
        let text = "# film\n31323334353637383930313233343536:32333435363738393021323334353637\n\n";
        assert_eq!(Keys::parse(text).unwrap().iter().count(), 1);
        let error = Keys::parse("31323334353637383930313233343536:tooshort").unwrap_err().to_string();
        assert!(!error.contains("tooshort") && error.contains("KID:KEY"));
        assert!(Keys::parse("").is_err());
        assert!(Keys::parse(&format!("{text}{text}")).is_err(), "two keys for the same tracks");
        assert!(Keys::parse(&format!("4K {}", text.lines().nth(1).unwrap())).is_err());
    }

    #[test]
    fn keys_of_later_periods() {
        let line = |front: &str, digit: &str| format!("{front}{0}:{0}\n", digit.repeat(32));
        let text = line("", "1") + &line("@1 ", "2") + &line("AUDIO ", "3") + &line("AUDIO @1 ", "4");
        let keys = Keys::parse(&text).unwrap();
        assert_eq!(keys.iter().count(), 4);
        assert!(keys.named(KeyId([0x44; 16])).is_some() && keys.named(KeyId([0x55; 16])).is_none());
        for bad in ["@x ", "@-1 ", "@1 AUDIO ", "AUDIO @1 @2 "] {
            assert!(Keys::parse(&line(bad, "1")).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_track_has_the_key_of_its_label() {
        let line = |label: &str, digit: &str| format!("{label} {}:{}\n", digit.repeat(32), digit.repeat(32));
        let video = |width, height| Track {
            id: sv_core::TrackId(1),
            codec: sv_core::Codec::H264,
            time_base: sv_core::TimeBase::MILLIS,
            config: sv_core::Bytes::new(),
            media: sv_core::Media::Video(sv_core::VideoInfo::new(width, height)),
            language: None,
            label: None,
            default: true,
            duration: None,
            bitrate: None,
            protection: None,
        };
        let keys = Keys::parse(&(line("AUDIO", "1") + &line("SD", "2") + &line("HD", "3"))).unwrap();
        assert_eq!(keys.of(&video(768, 576)).unwrap().0, KeyId([0x22; 16]));
        assert_eq!(keys.of(&video(1920, 1080)).unwrap().0, KeyId([0x33; 16]));
        let error = keys.of(&video(3840, 2160)).unwrap_err().to_string();
        assert!(error.contains("UHD1"), "{error}");
        let all = Keys::parse(&(line("SD", "2") + line("", "4").trim_start())).unwrap();
        assert_eq!(all.of(&video(3840, 2160)).unwrap().0, KeyId([0x44; 16]));
    }
}
