//! What a folder of recordings holds, and what of it is kept.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::disk::{is_part, sums};
use crate::{Error, Result};

/// What a header has at most.
const HEAD: u64 = 1 << 20;

/// A part of a recording, as it lies on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// Its file.
    pub path: PathBuf,
    /// When its first packet came, since 1970.
    pub began: Duration,
    /// When something was last written to it, since 1970: about when its last packet came.
    pub written: Duration,
    /// How long the file is.
    pub bytes: u64,
}

/// Parts that can be [cut](super::cut) as one: coded alike, and without a longer pause between them. There is one at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Take {
    /// The oldest first.
    pub parts: Vec<Part>,
}

impl Take {
    /// When it began, since 1970.
    #[must_use]
    pub fn began(&self) -> Duration {
        self.parts.first().map(|part| part.began).unwrap_or_default()
    }

    /// About how long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        let end = self.parts.last().map(|part| part.written).unwrap_or_default();
        end.saturating_sub(self.began())
    }

    /// How long its files are.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).fold(0, u64::saturating_add)
    }
}

/// What the folder of a stream's recordings holds, the oldest first. A pause of up to `pause` is part of a take. A folder that is
/// not there holds nothing.
///
/// # Errors
/// When the folder can't be read.
pub fn takes(folder: &Path, pause: Duration) -> Result<Vec<Take>> {
    let mut takes: Vec<Take> = Vec::new();
    let mut before = None;
    for part in parts(folder)? {
        // What has no header yet, or any more, is no part.
        let Ok(head) = head(&part.path) else { continue };
        let follows = before.as_ref().is_some_and(|(written, alike): &(Duration, Vec<u8>)| {
            part.began.saturating_sub(*written) <= pause && *alike == head
        });
        before = Some((part.written, head));
        match takes.last_mut() {
            Some(take) if follows => take.parts.push(part),
            _ => takes.push(Take { parts: vec![part] }),
        }
    }
    Ok(takes)
}

/// Removes parts that were written longer ago than `keep`, and the oldest where all have more bytes than `keep_bytes`; says which
/// these were. For recordings that have ended: who records does that itself.
pub fn sweep(folder: &Path, keep: Option<Duration>, keep_bytes: Option<u64>) -> Vec<PathBuf> {
    but(folder, keep, keep_bytes, None)
}

/// The same, but for a part that is being written.
pub(super) fn but(
    folder: &Path,
    keep: Option<Duration>,
    keep_bytes: Option<u64>,
    open: Option<(&Path, u64)>,
) -> Vec<PathBuf> {
    if keep.is_none() && keep_bytes.is_none() {
        return Vec::new();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut parts = parts(folder).unwrap_or_default();
    parts.retain(|part| open.is_none_or(|(path, _)| path != part.path));
    let written = open.map_or(0, |(_, length)| length);
    let mut bytes = parts.iter().map(|part| part.bytes).fold(written, u64::saturating_add);
    let mut gone = Vec::new();
    for part in parts {
        let old = keep.is_some_and(|keep| now.saturating_sub(part.written) > keep);
        let many = keep_bytes.is_some_and(|most| bytes > most);
        if (old || many) && std::fs::remove_file(&part.path).is_ok() {
            let _ = std::fs::remove_file(sums(&part.path));
            bytes = bytes.saturating_sub(part.bytes);
            gone.push(part.path);
        }
    }
    gone
}

fn parts(folder: &Path) -> Result<Vec<Part>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io(format!("reading {}", folder.display())))?,
    };
    let part = |path: PathBuf| {
        let about = std::fs::metadata(&path).ok()?;
        let written = about.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Part { began: began(&path)?, written, bytes: about.len(), path })
    };
    let mut parts: Vec<Part> = entries.flatten().filter_map(|entry| part(entry.path())).collect();
    // Names are times.
    parts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(parts)
}

/// The boxes before the first fragment: what the tracks are.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?.take(HEAD);
    let mut all = Vec::new();
    loop {
        let mut start = [0; 8];
        file.read_exact(&mut start)?;
        let [a, b, c, d, kind @ ..] = start;
        let rest = u64::from(u32::from_be_bytes([a, b, c, d])).saturating_sub(8).min(HEAD);
        all.extend_from_slice(&start);
        let wanted = usize::try_from(rest).unwrap_or(usize::MAX);
        if file.by_ref().take(rest).read_to_end(&mut all)? < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if kind == *b"moov" {
            return Ok(all);
        }
    }
}

/// The time since 1970 that a part's name is.
fn began(path: &Path) -> Option<Duration> {
    if !is_part(path) {
        return None;
    }
    let name = path.file_stem()?.to_str()?;
    let number = |from: usize, to: usize| name.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    // Howard Hinnant's days_from_civil, of years from March on.
    let years = year.checked_sub(u64::from(month <= 2))?;
    let (era, of_era) = (years.wrapping_div(400), years.wrapping_rem(400));
    let months = month.saturating_add(9).wrapping_rem(12);
    let of_year =
        months.saturating_mul(153).saturating_add(2).wrapping_div(5).saturating_add(day).checked_sub(1)?;
    let leap = of_era.wrapping_div(4).saturating_sub(of_era.wrapping_div(100));
    let days = era
        .saturating_mul(146_097)
        .saturating_add(of_era.saturating_mul(365))
        .saturating_add(leap)
        .saturating_add(of_year)
        .checked_sub(719_468)?;
    let seconds = days
        .saturating_mul(86_400)
        .saturating_add(number(9, 11)?.saturating_mul(3600))
        .saturating_add(number(11, 13)?.saturating_mul(60))
        .saturating_add(number(13, 15)?);
    Some(Duration::from_millis(seconds.saturating_mul(1000).saturating_add(number(16, 19)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_times() {
        // By `date -u -d @…`.
        for (at, name) in [
            (0, "19700101T000000.000Z"),
            (951_782_400_000, "20000229T000000.000Z"),
            (1_735_689_599_250, "20241231T235959.250Z"),
            (4_107_542_400_000, "21000301T000000.000Z"),
        ] {
            assert_eq!(began(Path::new(&format!("{name}.mp4"))), Some(Duration::from_millis(at)), "{name}");
        }
        for name in [
            "20000229T000000Z.mp4",
            "film.mp4",
            "20000229T000000.000Z.mp4.sha256",
            "00000000T000000.000Z.mp4",
        ] {
            assert_eq!(began(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn parts_of_a_take_are_coded_alike_and_near() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, head: &[u8], written: u64| {
            let path = folder.path().join(format!("20000229T{name}.000Z.mp4"));
            std::fs::write(&path, head).unwrap();
            let at = UNIX_EPOCH + Duration::from_secs(951_782_400 + written);
            File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
        };
        let (one, other) = (b"\0\0\0\x08ftyp\0\0\0\x09moov1and more", b"\0\0\0\x08ftyp\0\0\0\x09moov2");
        file("000000", one, 10);
        file("000010", one, 20);
        file("000031", one, 40);
        file("000041", other, 45);
        file("000046", b"\0\0\0\x08ftyp\0\0\0\x09moo", 46);
        let takes = takes(folder.path(), Duration::from_secs(10)).unwrap();
        let told: Vec<_> = takes.iter().map(|t| (t.parts.len(), t.length().as_secs())).collect();
        assert_eq!(told, [(2, 20), (1, 9), (1, 4)]);
        assert!(super::takes(&folder.path().join("missing"), Duration::ZERO).unwrap().is_empty());
        // The oldest go first, and all of them are old.
        assert_eq!(sweep(folder.path(), None, Some(40)).len(), 3);
        assert_eq!(sweep(folder.path(), Some(Duration::from_secs(60)), None).len(), 2);
    }
}
