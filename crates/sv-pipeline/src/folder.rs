//! A folder as a sink: objects become files, written aside, synced, renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::path::{Component, Path, PathBuf};

use sv_core::{Object, Sink, Write};

/// Stores objects below one folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    durable: bool,
    /// The file of the last [`Write::At`], which is most often the next one's too.
    open: Option<(PathBuf, File)>,
}

impl Folder {
    /// Makes the folder if it is not there. With `durable`, every object survives a crash once
    /// [`put`](Sink::put) has returned; without, all of them do after [`sync`](Self::sync).
    ///
    /// # Errors
    /// What the operating system says, with the folder's name.
    pub fn create(root: impl Into<PathBuf>, durable: bool) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(|e| named(&root, "can't be made", &e))?;
        Ok(Self { root, durable, open: None })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Makes everything that was stored survive a crash.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn sync(&mut self) -> io::Result<()> {
        self.open = None;
        sync_tree(&self.root)
    }

    /// Gives the whole folder its final name, at once, after [`sync`](Self::sync).
    ///
    /// # Errors
    /// `AlreadyExists` when something has that name already; what the operating system says.
    pub fn rename(mut self, to: &Path) -> io::Result<()> {
        self.sync()?;
        if to.exists() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} is there already", to.display()),
            ));
        }
        fs::rename(&self.root, to).map_err(|e| named(to, "can't be made", &e))?;
        sync_parent(to)
    }

    fn locate(&self, path: &str) -> io::Result<PathBuf> {
        let plain = Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
        if path.is_empty() || !plain {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{path:?} is not a plain relative path"),
            ));
        }
        let full = self.root.join(path);
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent).map_err(|e| named(parent, "can't be made", &e))?;
        }
        Ok(full)
    }
}

impl Sink for Folder {
    fn put(&mut self, object: Object) -> io::Result<()> {
        let path = self.locate(&object.path)?;
        match object.write {
            Write::Whole => {
                let aside = aside(&path);
                let result = (|| {
                    let mut file = File::create(&aside)?;
                    write_all(&mut file, &object.data)?;
                    if self.durable {
                        file.sync_all()?;
                    }
                    fs::rename(&aside, &path)?;
                    if self.durable { sync_parent(&path) } else { Ok(()) }
                })();
                result.map_err(|e| {
                    let _ = fs::remove_file(&aside);
                    named(&path, "can't be written", &e)
                })
            }
            Write::At(offset) => {
                let result = (|| {
                    use std::io::Seek as _;
                    if self.open.as_ref().is_none_or(|(open, _)| *open != path) {
                        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
                        self.open = Some((path.clone(), file));
                    }
                    let Some((_, file)) = &mut self.open else { return Ok(()) };
                    file.seek(io::SeekFrom::Start(offset))?;
                    write_all(file, &object.data)?;
                    if self.durable { file.sync_data() } else { Ok(()) }
                })();
                result.map_err(|e| named(&path, "can't be written", &e))
            }
        }
    }
}

/// Writes all slices with as few calls as the system allows.
fn write_all(file: &mut File, data: &[bytes::Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = data.iter().map(|b| IoSlice::new(b)).collect();
    let mut rest = &mut slices[..];
    // Empty slices at the front would look like a device that takes nothing.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut rest, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn aside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

fn named(path: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_files_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::create(dir.path().join("out.partial"), true).unwrap();
        folder.put(Object::whole("a/0.m4s", "video/mp4", &b"hello"[..])).unwrap();
        let at = |offset, data: &'static [u8]| Object {
            write: Write::At(offset),
            ..Object::whole("b.mp4", "video/mp4", data)
        };
        folder.put(at(0, b"head----")).unwrap();
        folder.put(at(8, b"tail")).unwrap();
        folder.put(at(4, b"body")).unwrap();
        let to = dir.path().join("out");
        folder.rename(&to).unwrap();
        assert_eq!(fs::read(to.join("a/0.m4s")).unwrap(), b"hello");
        assert_eq!(fs::read(to.join("b.mp4")).unwrap(), b"headbodytail");
        assert_eq!(fs::read_dir(to.join("a")).unwrap().count(), 1);
    }

    #[test]
    fn paths_stay_below_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::create(dir.path(), false).unwrap();
        for path in ["", "../x", "/etc/x", "a/../../x", "./x"] {
            let result = folder.put(Object::whole(path, "text/plain", &b"x"[..]));
            assert!(result.is_err(), "{path}");
        }
    }
}
