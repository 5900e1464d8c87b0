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
pub struct Keys(Vec<(Option<Label>, KeyId, ContentKey)>);

impl Keys {
    /// One key for all tracks.
    #[must_use]
    pub fn one(kid: KeyId, key: ContentKey) -> Self {
        Self(vec![(None, kid, key)])
    }

    /// Reads the text of a key file: one `KID:KEY` in hexadecimal a line, with the name of a [`Label`] and a space
    /// in front if it is for those tracks alone; `#` for comments.
    ///
    /// # Errors
    /// [`Error::Syntax`] at the first line that is none of them, and where two keys are for the same
    /// tracks; the message does not repeat the line.
    pub fn parse(text: &str) -> Result<Self, Error> {
        const SYNTAX: Error = Error::Syntax {
            what: "each line of a key file",
            expected: "KID:KEY, each of 32 hexadecimal digits, with AUDIO, SD, HD, UHD1 or UHD2 in front for a key \
                       of those tracks alone (a line that begins with # is a comment), and one key for each",
        };
        let mut keys: Vec<(Option<Label>, KeyId, ContentKey)> = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (label, pair) = match line.split_once(char::is_whitespace) {
                Some((name, pair)) => {
                    let label = Label::ALL.into_iter().find(|label| label.name() == name);
                    (Some(label.ok_or(SYNTAX)?), pair)
                }
                None => (None, line),
            };
            let (kid, key) = pair.split_once(':').ok_or(SYNTAX)?;
            let kid = KeyId::from_hex(kid.trim()).ok_or(SYNTAX)?;
            if keys.iter().any(|(other, ..)| *other == label) {
                return Err(SYNTAX);
            }
            keys.push((label, kid, ContentKey::from_hex(key.trim()).map_err(|_| SYNTAX)?));
        }
        if keys.is_empty() { Err(SYNTAX) } else { Ok(Self(keys)) }
    }

    /// The key of a track: that of its own label, or else the one for all.
    ///
    /// # Errors
    /// [`Error::NoKey`] when neither is there.
    pub fn of(&self, track: &Track) -> Result<(KeyId, &ContentKey), Error> {
        let label = Label::of(track);
        let own = self.0.iter().find(|(own, ..)| own.is_some() && *own == label);
        let key = own.or_else(|| self.0.iter().find(|(own, ..)| own.is_none()));
        let missing = || Error::NoKey { track: track.id, label: label.map_or("text", Label::name) };
        key.map(|(_, kid, key)| (*kid, key)).ok_or_else(missing)
    }

    /// All keys with their names.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Label>, KeyId, &ContentKey)> {
        self.0.iter().map(|(label, kid, key)| (*label, *kid, key))
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
