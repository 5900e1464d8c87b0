//! Parts on a disk.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::writer::Piece;
use super::{Progress, Settings, parts};
use crate::{Error, Result};

/// The folder of a stream's recordings.
pub(super) struct Disk {
    folder: PathBuf,
    settings: Settings,
    open: Option<Open>,
}

struct Open {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
}

impl Disk {
    pub(super) const fn new(folder: PathBuf, settings: Settings) -> Self {
        Self { folder, settings, open: None }
    }

    pub(super) fn write(&mut self, piece: Piece) -> Result<Option<Progress>> {
        match piece {
            Piece::Begin(at, header) => {
                let path = self.folder.join(format!("{}.mp4", name(at)));
                let doing = || format!("beginning {}", path.display());
                let file = OpenOptions::new().write(true).create_new(true).open(&path);
                let file = file.map_err(Error::io(doing()))?;
                let mut open = Open { path: path.clone(), file, length: 0, hash: Sha256::new() };
                if let Err(error) = open.append(&header, self.settings.sync) {
                    // A part with nothing in it is no part.
                    let _ = std::fs::remove_file(&path);
                    return Err(error);
                }
                self.open = Some(open);
                Ok(Some(Progress::Begun(path)))
            }
            Piece::Fragment(data) => {
                if let Some(open) = &mut self.open {
                    open.append(&data, self.settings.sync)?;
                }
                Ok(None)
            }
            Piece::End => self.open.take().map(Open::end).transpose(),
        }
    }

    /// Ends a part that can't be gone on with: what is whole of it stays.
    pub(super) fn abandon(&mut self) -> Option<Progress> {
        let open = self.open.take()?;
        let path = open.path.clone();
        match open.end() {
            Ok(progress) => Some(progress),
            // What was to be told beside it has no room either.
            Err(_) => Some(Progress::Ended(path)),
        }
    }

    /// Removes what is no longer kept, and says what that was.
    pub(super) fn sweep(&self) -> Vec<PathBuf> {
        let Settings { keep, keep_bytes, .. } = self.settings;
        let open = self.open.as_ref().map(|open| (open.path.as_path(), open.length));
        parts::but(&self.folder, keep, keep_bytes, open)
    }
}

impl Open {
    /// Appends it, whole or not at all.
    fn append(&mut self, data: &[u8], sync: bool) -> Result<()> {
        if let Err(error) = self.put(data, sync) {
            // What came of it is no fragment. Where even this fails it is at the end, and readers leave it out.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
            return Err(Error::io(format!("writing {}", self.path.display()))(error));
        }
        self.hash.update(data);
        self.length = self.length.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Whoever dies in the midst of a write leaves a part of it: all of it stands in a box that means nothing until it is
    /// there, and then its first eight bytes are what they are to be.
    fn put(&mut self, data: &[u8], sync: bool) -> std::io::Result<()> {
        let (Some((head, rest)), Ok(length)) = (data.split_at_checked(8), u32::try_from(data.len())) else {
            return self.file.write_all(data);
        };
        let mut covered = Vec::with_capacity(data.len());
        covered.extend_from_slice(&length.to_be_bytes());
        covered.extend_from_slice(b"free");
        covered.extend_from_slice(rest);
        self.file.write_all(&covered)?;
        if sync {
            self.file.sync_data()?;
        }
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(head)?;
        self.file.seek(SeekFrom::End(0))?;
        if sync { self.file.sync_data() } else { Ok(()) }
    }

    /// It is whole, and beside it is told what it is.
    fn end(self) -> Result<Progress> {
        let what = || format!("ending {}", self.path.display());
        self.file.sync_all().map_err(Error::io(what()))?;
        let mut text = String::new();
        for byte in self.hash.finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let (whole, aside) = (sums(&self.path), self.path.with_extension("sha256-part"));
        let written = std::fs::write(&aside, format!("{text}  {name}\n"));
        written.and_then(|()| std::fs::rename(&aside, &whole)).map_err(|error| {
            let _ = std::fs::remove_file(&aside);
            Error::io(format!("writing {}", whole.display()))(error)
        })?;
        Ok(Progress::Ended(self.path))
    }
}

pub(super) fn sums(part: &Path) -> PathBuf {
    part.with_extension("mp4.sha256")
}

/// Whether a file is called as parts are.
pub(super) fn is_part(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let shape = |b: u8| if b.is_ascii_digit() { b'0' } else { b };
    path.extension().is_some_and(|e| e == "mp4") && stem.bytes().map(shape).eq(*b"00000000T000000.000Z")
}

/// A time since 1970 as a part's name: `20261129T161500.250Z`.
fn name(at: Duration) -> String {
    let (days, seconds) = (at.as_secs().wrapping_div(86_400), at.as_secs().wrapping_rem(86_400));
    // Howard Hinnant's civil_from_days, of years from March on.
    let z = days.saturating_add(719_468);
    let era = z.wrapping_div(146_097);
    let day = z.wrapping_rem(146_097);
    let leap = day.wrapping_div(1460).saturating_add(day.wrapping_div(146_096));
    let year = day.saturating_add(day.wrapping_div(36_524)).saturating_sub(leap).wrapping_div(365);
    let before =
        year.saturating_mul(365).saturating_add(year.wrapping_div(4)).saturating_sub(year.wrapping_div(100));
    let of_year = day.saturating_sub(before);
    let month = of_year.saturating_mul(5).saturating_add(2).wrapping_div(153);
    let date =
        of_year.saturating_sub(month.saturating_mul(153).saturating_add(2).wrapping_div(5)).saturating_add(1);
    let year = year.saturating_add(era.saturating_mul(400)).saturating_add(u64::from(month >= 10));
    let month = if month < 10 { month.saturating_add(3) } else { month.saturating_sub(9) };
    let (hour, minute) = (seconds.wrapping_div(3600), seconds.wrapping_div(60).wrapping_rem(60));
    let second = seconds.wrapping_rem(60);
    format!("{year:04}{month:02}{date:02}T{hour:02}{minute:02}{second:02}.{:03}Z", at.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_times() {
        // By `date -u -d @…`.
        for (at, expected) in [
            (0, "19700101T000000.000Z"),
            (951_782_400, "20000229T000000.000Z"),
            (1_735_689_599, "20241231T235959.000Z"),
            (4_107_542_400, "21000301T000000.000Z"),
        ] {
            assert_eq!(name(Duration::from_secs(at)), expected);
            assert!(is_part(Path::new(&format!("{expected}.mp4"))));
        }
    }
}
