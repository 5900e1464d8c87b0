//! What kind of file bytes are the beginning of: mostly to say so in error messages.

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// ISO base media: MP4, QuickTime, CMAF.
    Mp4,
    /// MPEG-2 transport stream.
    Ts,
    /// WebVTT.
    WebVtt,
    /// SubRip.
    Srt,
    /// Matroska or WebM.
    Matroska,
    /// RIFF AVI.
    Avi,
    /// RIFF WAVE.
    Wav,
    /// Flash video.
    Flv,
    /// Ogg.
    Ogg,
    /// MPEG program stream.
    ProgramStream,
    /// Raw FLAC.
    Flac,
    /// Raw MPEG audio or ADTS AAC, perhaps behind an ID3 tag.
    AudioFrames,
    /// An HLS playlist.
    Playlist,
    /// A DASH manifest.
    Mpd,
    /// TTML subtitles.
    Ttml,
    /// A still picture.
    Image,
}

impl Kind {
    /// How messages call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mp4 => "an MP4 file",
            Self::Ts => "an MPEG transport stream",
            Self::WebVtt => "a WebVTT file",
            Self::Srt => "a SubRip file",
            Self::Matroska => "a Matroska or WebM file",
            Self::Avi => "an AVI file",
            Self::Wav => "a WAVE file",
            Self::Flv => "a Flash video",
            Self::Ogg => "an Ogg file",
            Self::ProgramStream => "an MPEG program stream",
            Self::Flac => "a FLAC file",
            Self::AudioFrames => "a raw audio file",
            Self::Playlist => "an HLS playlist",
            Self::Mpd => "a DASH manifest",
            Self::Ttml => "a TTML file",
            Self::Image => "a picture",
        }
    }
}

/// Looks at the first bytes of a file; a few kilobytes suffice.
#[must_use]
pub fn detect(head: &[u8]) -> Option<Kind> {
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    match head {
        [0x1A, 0x45, 0xDF, 0xA3, ..] => return Some(Kind::Matroska),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => return Some(Kind::Avi),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => return Some(Kind::Wav),
        [b'F', b'L', b'V', 1, ..] => return Some(Kind::Flv),
        [b'O', b'g', b'g', b'S', ..] => return Some(Kind::Ogg),
        [b'f', b'L', b'a', b'C', ..] => return Some(Kind::Flac),
        [0, 0, 1, 0xBA, ..] => return Some(Kind::ProgramStream),
        [0xFF, 0xD8, 0xFF, ..] | [0x89, b'P', b'N', b'G', ..] | [b'G', b'I', b'F', b'8', ..] => {
            return Some(Kind::Image);
        }
        [b'I', b'D', b'3', ..] => return Some(Kind::AudioFrames),
        _ => {}
    }
    if text.starts_with(b"WEBVTT") && text.get(6).is_none_or(u8::is_ascii_whitespace) {
        return Some(Kind::WebVtt);
    }
    if text.starts_with(b"#EXTM3U") {
        return Some(Kind::Playlist);
    }
    if let Some(root) = xml_root(text) {
        return match root {
            b"MPD" => Some(Kind::Mpd),
            b"tt" | b"tt:tt" => Some(Kind::Ttml),
            _ => None,
        };
    }
    if is_mp4(head) {
        return Some(Kind::Mp4);
    }
    if crate::ts::packet_size(head).is_some() {
        return Some(Kind::Ts);
    }
    if is_srt(text) {
        return Some(Kind::Srt);
    }
    match head {
        [0xFF, second, third, ..]
            if second & 0xE0 == 0xE0 && second & 0x18 != 0x08 && third & 0xF0 != 0xF0 =>
        {
            Some(Kind::AudioFrames)
        }
        _ => None,
    }
}

/// A box type that begins files, behind a size that a box can have.
fn is_mp4(head: &[u8]) -> bool {
    let [s0, s1, s2, s3, kind @ ..] = head else {
        return false;
    };
    let size = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
    let known: [&[u8]; 14] = [
        b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"emsg", b"prft",
        b"pnot", b"uuid", b"ssix",
    ];
    (size == 0 || size == 1 || size >= 8) && known.iter().any(|k| kind.starts_with(k))
}

/// The name of the first element behind declarations and comments.
fn xml_root(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.trim_ascii_start();
    for _ in 0..16 {
        rest = rest.strip_prefix(b"<")?;
        if !matches!(rest.first(), Some(b'?' | b'!')) {
            let end = rest.iter().position(|b| !b.is_ascii_alphanumeric() && !b":-_.".contains(b))?;
            return rest.get(..end);
        }
        let close: &[u8] = if rest.starts_with(b"!--") { b"-->" } else { b">" };
        let end = rest.windows(close.len()).position(|w| w == close)?;
        rest = rest.get(end.saturating_add(close.len())..)?.trim_ascii_start();
    }
    None
}

/// A timing line with SubRip's comma, within the first lines.
fn is_srt(text: &[u8]) -> bool {
    text.split(|b| *b == b'\n').take(4).any(|line| {
        let line = line.trim_ascii();
        let digits =
            line.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b':' | b',' | b'.')).count();
        digits >= 5
            && line.get(digits..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"-->"))
            && line.contains(&b':')
    })
}
