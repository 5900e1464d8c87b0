//! Random access to bytes, so that parsers need not know about files.

use std::io;

use bytes::Bytes;

/// Bytes at offsets. Demuxers read through this and never open anything themselves.
pub trait ReadAt: Send + Sync {
    /// Fills the front of `buf` from `offset` on and says how many bytes that were; 0 only at the
    /// end or for an empty `buf`.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills all of `buf`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the bytes end before `buf` does, and what the operating system says.
    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let n = self.read_at(offset, buf)?;
            if n == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the data ends at byte {offset}, {} bytes too early", buf.len()),
                ));
            }
            buf = buf.get_mut(n..).unwrap_or_default();
            offset = offset.saturating_add(u64::try_from(n).unwrap_or(0));
        }
        Ok(())
    }

    /// `len` bytes from `offset` on: a slice of what is in memory already, or one read. The caller has seen to it
    /// that `len` is no more than it can bear.
    ///
    /// # Errors
    /// As for [`read_exact_at`](Self::read_exact_at).
    fn bytes_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut buf = vec![0; len];
        self.read_exact_at(offset, &mut buf)?;
        Ok(Bytes::from(buf))
    }
}

impl ReadAt for Bytes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.get(start..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn size(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    fn bytes_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(len);
        if end > self.len() {
            let message = format!("the data ends at byte {}, before byte {end}", self.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(self.slice(start..end))
    }
}

/// An open file and its size when it was opened: the one place where this crate touches the
/// operating system, because the trait and the type would otherwise meet nowhere.
#[derive(Debug)]
pub struct FileAt {
    file: std::fs::File,
    size: u64,
}

impl FileAt {
    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// What the operating system says; `InvalidInput` for anything but a regular file.
    pub fn open(path: impl AsRef<std::path::Path>) -> io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
        }
        Ok(Self { file, size: meta.len() })
    }
}

impl ReadAt for FileAt {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        {
            std::os::unix::fs::FileExt::read_at(&self.file, buf, offset)
        }
        #[cfg(windows)]
        {
            std::os::windows::fs::FileExt::seek_read(&self.file, buf, offset)
        }
    }

    fn size(&self) -> u64 {
        self.size
    }

    /// Into memory that nobody has filled with zeroes before.
    #[cfg(unix)]
    fn bytes_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut buf = Vec::with_capacity(len);
        while buf.len() < len {
            let at = offset.saturating_add(u64::try_from(buf.len()).unwrap_or(u64::MAX));
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut buf), at) {
                Ok(0) => {
                    let message = format!(
                        "the file ends at byte {at}, {} bytes too early",
                        len.saturating_sub(buf.len())
                    );
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocator may have given more room than was asked for.
        buf.truncate(len);
        Ok(Bytes::from(buf))
    }
}
