//! The folder store: what lies where in the data folder, and how bytes get there for good.
//!
//! ```text
//! data/
//!   queue.lock queue.sqlite3      the jobs
//!   library.sqlite3               videos, uploads, keys
//!   secret                        signs playback links
//!   uploads/upl_…                 originals, whole and partial
//!   videos/vid_…/1/               what the first transcode made; the next goes to 2/
//!   live/liv_…/TIME/              what a live stream showed, each time that it was sent
//!   recordings/liv_…/TIME.mp4     what was recorded of it
//!   cuts/                         files on their way to somebody
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::id;

/// The data folder.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    /// Makes what is missing of the folder.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("uploads"))?;
        fs::create_dir_all(root.join("videos"))?;
        fs::create_dir_all(root.join("live"))?;
        fs::create_dir_all(root.join("recordings"))?;
        // Nobody waits for what an earlier run has left.
        gone(fs::remove_dir_all(root.join("cuts")))?;
        fs::create_dir_all(root.join("cuts"))?;
        // Absolute: a job that is resumed must not depend on where the process was started.
        Ok(Self { root: root.canonicalize()? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The bytes of an upload, whether or not it is finished.
    pub(crate) fn upload(&self, upload: &str) -> PathBuf {
        self.root.join("uploads").join(upload)
    }

    /// The folder of a video's presentations.
    pub(crate) fn video(&self, video: &str) -> PathBuf {
        self.root.join("videos").join(video)
    }

    /// What a video's `run`-th transcode makes.
    pub(crate) fn presentation(&self, video: &str, run: u32) -> PathBuf {
        self.video(video).join(run.to_string())
    }

    /// The folder of all live presentations, one below its name for each stream.
    pub(crate) fn live(&self) -> PathBuf {
        self.root.join("live")
    }

    /// The folder of all recordings, one below its name for each live stream.
    pub(crate) fn recordings(&self) -> PathBuf {
        self.root.join("recordings")
    }

    /// A file that is only needed until somebody has read it.
    pub(crate) fn cut(&self) -> PathBuf {
        self.root.join("cuts").join(id::new("cut"))
    }

    /// Deletes all that a live stream has left.
    pub(crate) fn remove_live(&self, live: &str) -> io::Result<()> {
        gone(fs::remove_dir_all(self.live().join(live)))?;
        gone(fs::remove_dir_all(self.recordings().join(live)))
    }

    /// Deletes what a live stream showed, but for what was shown since so long; `newest` leaves its newest presentation alone
    /// however old it is. False where something is left.
    pub(crate) fn expire_live(&self, live: &str, kept: Duration, newest: bool) -> io::Result<bool> {
        let folder = self.live().join(live);
        let mut all: Vec<PathBuf> = match fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
            entries => entries?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
        };
        // Names are times.
        all.sort();
        let spared = newest.then(|| all.pop()).flatten();
        let mut left = spared.is_some();
        for presentation in all {
            if last_written(&presentation)?.elapsed().unwrap_or_default() > kept {
                gone(fs::remove_dir_all(&presentation))?;
                tracing::info!(live, presentation = %presentation.display(), "what was live has expired");
            } else {
                left = true;
            }
        }
        if !left {
            gone(fs::remove_dir(&folder))?;
        }
        Ok(!left)
    }

    /// What an error says, without where files lie: clients need not learn that.
    pub(crate) fn discreet(&self, text: &str) -> String {
        text.replace(&self.root.display().to_string(), "the data folder")
    }

    /// Whose presentation lies there.
    pub(crate) fn video_of(&self, presentation: &Path) -> Option<String> {
        let below = presentation.strip_prefix(self.root.join("videos")).ok()?;
        Some(below.parent()?.to_str()?.to_owned())
    }

    /// Deletes all that was made for a video, and its original.
    pub(crate) fn remove_video(&self, video: &str, upload: &str) -> io::Result<()> {
        gone(fs::remove_dir_all(self.video(video)))?;
        self.remove_upload(upload)
    }

    /// Deletes what was made for a video, half-done or whole, except by the `run`-th transcode.
    pub(crate) fn keep_only(&self, video: &str, run: u32) -> io::Result<()> {
        let entries = match fs::read_dir(self.video(video)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name() != *run.to_string() {
                gone(fs::remove_dir_all(entry.path()))?;
            }
        }
        Ok(())
    }

    /// Deletes the bytes of an upload.
    pub(crate) fn remove_upload(&self, upload: &str) -> io::Result<()> {
        gone(fs::remove_file(self.upload(upload)))
    }

    /// Names in `uploads/` and `videos/`, to find what the database does not know.
    pub(crate) fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.root.join(folder))?;
        entries.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// The secret that signs playback links: made once, readable by the owner only.
    pub(crate) fn secret(&self) -> io::Result<[u8; 32]> {
        let path = self.root.join("secret");
        let mut secret = [0; 32];
        match File::open(&path) {
            Ok(mut file) => file.read_exact(&mut secret)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                id::random(&mut secret);
                // Whole or not there at all, whenever the power fails.
                let draft = path.with_extension("new");
                let mut file = private(&draft)?;
                file.set_len(0)?;
                file.write_all(&secret)?;
                file.sync_all()?;
                fs::rename(&draft, &path)?;
                sync_folder(&self.root)?;
            }
            Err(e) => return Err(e),
        }
        Ok(secret)
    }
}

/// Opens a file for writing, and makes it for the owner's eyes only if it is not there.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a folder's list of names survive a power failure.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// When something in a folder was last written.
fn last_written(folder: &Path) -> io::Result<SystemTime> {
    let mut last = fs::metadata(folder)?.modified()?;
    for entry in fs::read_dir(folder)? {
        last = last.max(entry?.metadata()?.modified()?);
    }
    Ok(last)
}

/// Deleting what is not there is done already.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_air_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::open(root.path()).unwrap();
        let old = SystemTime::now() - Duration::from_secs(1000);
        let made =
            ["20260101T000000.000Z", "20260102T000000.000Z"].map(|name| files.live().join("one").join(name));
        for folder in &made {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("segment"), b"").unwrap();
            for path in [folder.join("segment"), folder.clone()] {
                File::open(path).unwrap().set_modified(old).unwrap();
            }
        }
        let kept = |kept, newest| files.expire_live("one", Duration::from_secs(kept), newest).unwrap();
        assert!(!kept(2000, false) && made[0].exists());
        assert!(!kept(500, true) && !made[0].exists() && made[1].exists());
        assert!(kept(500, false) && !files.live().join("one").exists());
        assert!(kept(500, false));
    }
}
