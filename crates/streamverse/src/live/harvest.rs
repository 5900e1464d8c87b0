//! A stretch of a live presentation as a recording of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sv_core::{ErrorKind, Sink as _};
use sv_package::live::{Presentation, Settings, Stream, Window};
use sv_package::{Form, Mark, Rendition, SegmentRecord};
use sv_pipeline::folder::Folder;

use super::desk::recording;
use super::store::Told;
use crate::work::{Work, partial};
use crate::{Error, Result};

/// Makes `output` of what `live` shows between two moments of its own timeline: whole segments, all that
/// have something of the stretch. The presentation may be going on meanwhile. Files are shared with it where the
/// file system can do that, and copied otherwise. Gives the manifests to open.
///
/// # Errors
/// When `live` holds no live presentation or nothing of that stretch any more, or `output` is there already or
/// can't be written; nothing is left of it then.
pub fn harvest(live: &Path, output: &Path, from: Duration, to: Option<Duration>) -> Result<Vec<String>> {
    Work::check(output)?;
    let told = Told::of(live)?;
    let aside = partial(output);
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    let result = cut(&told, live, output, &aside, (from, to));
    if result.is_err() {
        let _ = fs::remove_dir_all(&aside);
    }
    result
}

fn cut(
    told: &Told,
    live: &Path,
    output: &Path,
    aside: &Path,
    (from, to): (Duration, Option<Duration>),
) -> Result<Vec<String>> {
    let mut folder = Folder::create(aside, false)?;
    let mut streams = Vec::new();
    for (name, earlier) in &told.earlier {
        let mut epochs = Vec::new();
        for epoch in &earlier.epochs {
            let mut epoch = epoch.clone();
            let base = epoch.info.time_base();
            let at = |ticks: u64| sv_core::Duration::new(ticks).to_std(base);
            let wanted =
                |s: &SegmentRecord| at(s.start + s.duration) > from && to.is_none_or(|to| at(s.start) < to);
            // What the window has left is gone, if its files are.
            let named = epoch.clone();
            let path = |s: &SegmentRecord| named.path_of(s);
            epoch.segments.retain(|s| wanted(s) && live.join(path(s)).exists());
            if !epoch.segments.is_empty() {
                copy(live, aside, &epoch)?;
                epochs.push(epoch);
            }
        }
        if !epochs.is_empty() {
            streams.push(Stream::new(name, Form::Cmaf).resume(epochs));
        }
    }
    if streams.is_empty() {
        let message = format!("{} has nothing of that stretch (any more)", live.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let mut settings = Settings::new(told.began);
    settings.window = Window::Event;
    let mut manifests = Vec::new();
    let mut presentation = Presentation::new(settings, streams);
    let end = to.unwrap_or(Duration::MAX);
    for mark in told.cues.iter().filter_map(Mark::of).filter(|mark| mark.at >= from && mark.at < end) {
        presentation.mark(mark, told.began);
    }
    for object in recording(presentation)? {
        if matches!(object.path.as_str(), "master.m3u8" | "manifest.mpd") {
            manifests.push(object.path.clone());
        }
        folder.put(object)?;
    }
    folder.sync()?;
    folder.rename(output)?;
    Ok(manifests)
}

fn copy(live: &Path, aside: &Path, epoch: &Rendition) -> Result<()> {
    fs::create_dir_all(aside.join(&epoch.name))?;
    let segments = epoch.segments.iter().map(|s| epoch.path_of(s));
    for path in segments.chain(epoch.form.has_init().then(|| epoch.init_path())) {
        let (source, place) = (live.join(&path), aside.join(&path));
        if fs::hard_link(&source, &place).is_err() {
            fs::copy(&source, &place).map_err(|e| Error::from(e).context(source.display().to_string()))?;
        }
    }
    Ok(())
}
