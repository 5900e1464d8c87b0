//! What lies on disk of a title: one file, or a folder of renditions.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use sha2::{Digest as _, Sha256};
use sv_core::{ErrorKind, FileAt, ReadAt};

use super::joined::Joined;
use crate::live::JOURNAL;
use crate::{Error, Result};

/// Most files of one title: a day of segments of a second, in a few renditions.
const MOST_FILES: usize = 1 << 19;

/// What is read as one MP4 file.
pub(super) struct Source {
    pub(super) reader: Arc<dyn ReadAt>,
    /// The name of its one rendition, if that is all that it is.
    pub(super) stem: Option<String>,
}

/// All of a title.
pub(super) struct Stock {
    pub(super) sources: Vec<Source>,
    pub(super) texts: Vec<PathBuf>,
}

/// Changes when a file or a folder does. Segments that are written never change, and a new one changes its folder.
pub(super) fn stamp(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut take = |path: &Path| -> Result<()> {
        let meta = std::fs::metadata(path)?;
        let modified = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let size = if meta.is_dir() { 0 } else { meta.len() };
        hash.update(format!("{:?} {size} {modified:?};", path.file_name()));
        Ok(())
    };
    take(path)?;
    if path.is_dir() {
        let journal = path.join(JOURNAL);
        if journal.is_file() {
            take(&journal)?;
        }
        for (name, _) in entries(path)?.iter().filter(|(name, _)| !name.ends_with(".m4s")) {
            take(&path.join(name))?;
        }
    }
    Ok(digits(hash))
}

/// Finds what a title is made of.
pub(super) fn open(path: &Path) -> Result<Stock> {
    if !path.is_dir() {
        let reader = crate::place::reader(path)?;
        return Ok(Stock { sources: vec![Source { reader, stem: None }], texts: Vec::new() });
    }
    let (mut sources, mut texts) = (Vec::new(), Vec::new());
    let top = entries(path)?;
    let files = |kind: Kind| top.iter().filter(move |(_, k)| *k == kind).map(|(name, _)| name.clone());
    sources.extend(renditions(path, &files(Kind::Media).collect::<Vec<_>>(), None)?);
    for folder in files(Kind::Folder) {
        let inside = path.join(&folder);
        let all = entries(&inside)?;
        let media: Vec<_> =
            all.into_iter().filter(|(_, k)| *k == Kind::Media).map(|(name, _)| name).collect();
        sources.extend(renditions(&inside, &media, Some(&folder))?);
    }
    texts.extend(files(Kind::Text).map(|name| path.join(name)));
    sources.retain(|source| source.stem.as_ref().is_none_or(|stem| !stem.ends_with("-trick")));
    if sources.is_empty() {
        let message = "it holds neither MP4 files nor segments with their initialisation";
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(Stock { sources, texts })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Media,
    Text,
}

/// What is of use in a folder, numbers in their order. Links are left alone: they lead elsewhere.
fn entries(folder: &Path) -> Result<Vec<(String, Kind)>> {
    let mut out = Vec::new();
    for (count, entry) in std::fs::read_dir(folder)?.enumerate() {
        if count >= MOST_FILES {
            let message = format!("{} has more than {MOST_FILES} files", folder.display());
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
        let found = match ending.as_str() {
            _ if name.starts_with('.') => continue,
            _ if kind.is_dir() => Kind::Folder,
            _ if !kind.is_file() => continue,
            "mp4" | "m4v" | "m4a" | "m4s" | "cmfv" | "cmfa" | "mov" => Kind::Media,
            "vtt" | "srt" | "ttml" | "dfxp" => Kind::Text,
            _ => continue,
        };
        out.push((name, found));
    }
    out.sort_by(|a, b| natural(&a.0, &b.0));
    Ok(out)
}

/// `2` before `10`.
fn natural(a: &str, b: &str) -> Ordering {
    let runs = |text: &str| -> Vec<(bool, String)> {
        let mut out: Vec<(bool, String)> = Vec::new();
        for c in text.chars() {
            let digit = c.is_ascii_digit();
            match out.last_mut().filter(|(last, _)| *last == digit) {
                Some((_, run)) => run.push(c),
                None => out.push((digit, c.to_string())),
            }
        }
        out
    };
    let (left, right) = (runs(a), runs(b));
    for ((number, x), (other, y)) in left.iter().zip(&right) {
        let order = if *number && *other {
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// The renditions that files of a folder make: initialisations with their segments, and whole files. Which segment
/// belongs to which initialisation, their names say: `init-stream0.m4s` and `chunk-stream0-00001.m4s`.
fn renditions(folder: &Path, files: &[String], name: Option<&str>) -> Result<Vec<Source>> {
    let stem = |file: &str| file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned();
    let trim = |text: &str| text.trim_matches(['-', '_', '.']).to_owned();
    // What is left of an initialisation's name when it is taken out that it is one.
    let inits: Vec<(String, &String)> = files
        .iter()
        .filter_map(|file| {
            let stem = stem(file);
            let rest = stem.strip_prefix("init").or_else(|| stem.strip_suffix("init"))?;
            Some((trim(rest), file))
        })
        .collect();
    let mut groups: Vec<Vec<PathBuf>> = inits.iter().map(|(_, file)| vec![folder.join(file)]).collect();
    let mut out = Vec::new();
    for file in files.iter().filter(|file| inits.iter().all(|(_, init)| init != file)) {
        let parts: Vec<String> = stem(file).split(['_', '.', '-']).map(str::to_owned).collect();
        let own = |rest: &str| {
            let wanted: Vec<&str> = rest.split(['_', '.', '-']).filter(|part| !part.is_empty()).collect();
            wanted.is_empty() || parts.windows(wanted.len()).any(|window| window == wanted.as_slice())
        };
        let best = inits
            .iter()
            .enumerate()
            .filter(|(_, (rest, _))| own(rest))
            .max_by_key(|(_, (rest, _))| rest.len());
        match best {
            Some((index, _)) => groups[index].push(folder.join(file)),
            None if file.ends_with(".m4s") => {}
            None => {
                let reader = Arc::new(FileAt::open(folder.join(file))?);
                out.push(Source {
                    reader,
                    stem: Some(name.map_or_else(|| stem(file), |n| format!("{n}-{}", stem(file)))),
                });
            }
        }
    }
    for ((rest, _), paths) in inits.iter().zip(groups).filter(|(_, paths)| paths.len() > 1) {
        let stem = match (name, rest.is_empty()) {
            (Some(name), true) => name.to_owned(),
            (Some(name), false) => format!("{name}-{rest}"),
            (None, true) => "stream".to_owned(),
            (None, false) => rest.clone(),
        };
        out.push(Source { reader: Arc::new(Joined::new(paths)?), stem: Some(stem) });
    }
    Ok(out)
}

/// A hash as text.
pub(super) fn digits(hash: Sha256) -> String {
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().take(16).fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_and_not_spelt() {
        let mut names = ["s-10.m4s", "s-9.m4s", "a", "s-009.m4s", "s-1.m4s"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a", "s-1.m4s", "s-009.m4s", "s-9.m4s", "s-10.m4s"]);
    }

    #[test]
    fn files_of_other_packagers_find_their_initialisation() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "init-stream0.m4s",
            "init-stream1.m4s",
            "chunk-stream0-00001.m4s",
            "chunk-stream1-00001.m4s",
            "chunk-stream1-00010.m4s",
            "chunk-stream10-00001.m4s",
            "film.mp4",
        ];
        for name in names {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let found = renditions(dir.path(), &names.map(str::to_owned), None).unwrap();
        let sizes: Vec<_> = found.iter().map(|s| (s.stem.clone().unwrap(), s.reader.size())).collect();
        assert_eq!(
            sizes,
            [("film".to_owned(), 8), ("stream0".into(), 16 + 23), ("stream1".into(), 16 + 23 + 23)]
        );
    }
}
