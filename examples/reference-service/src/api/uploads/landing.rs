//! Where the bytes of an upload come down: a thread that may wait for the disk.
//!
//! It outlives the connection. When a client goes away, the handler is dropped, the channel closes,
//! and what has arrived is made safe all the same.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;
use sha1::{Digest, Sha1};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::gate::Entered;
use super::{checksum_mismatch, expiry};
use crate::api::model::Video;
use crate::app::{App, Shared};
use crate::files;
use crate::library::Wishes;
use crate::problem::{Problem, Result};
use crate::store::Upload;

/// After so many bytes they are made safe: what a kill costs at most.
const STEP: u64 = 8 << 20;
/// Pieces on their way to the disk; a slow disk slows the client down instead of filling memory.
const PIECES: usize = 16;
/// How long a client that was refused may go on sending. Most read the answer only at the end.
const LINGER: Duration = Duration::from_secs(30);

enum Piece {
    Bytes(Bytes),
    /// The client said all that it wanted to say.
    End,
}

/// The end of a pipe to the disk.
#[derive(Debug)]
pub(crate) struct Landing<T> {
    pieces: Sender<Piece>,
    landed: JoinHandle<Result<T>>,
    refused: Option<Instant>,
}

impl<T: Send + 'static> Landing<T> {
    fn begin(app: &Shared, land: impl FnOnce(&App, Receiver<Piece>) -> Result<T> + Send + 'static) -> Self {
        let (pieces, receiver) = mpsc::channel(PIECES);
        let app = Arc::clone(app);
        Self { pieces, landed: tokio::task::spawn_blocking(move || land(&app, receiver)), refused: None }
    }

    /// Hands bytes over; `false` when it is time to stop, and [`finish`](Self::finish) says why.
    pub(crate) async fn push(&mut self, bytes: Bytes) -> bool {
        if self.refused.is_none() && self.pieces.send(Piece::Bytes(bytes)).await.is_ok() {
            return true;
        }
        self.refused.get_or_insert_with(Instant::now).elapsed() < LINGER
    }

    /// That was all.
    pub(crate) async fn finish(self) -> Result<T> {
        // A landing that stopped early has its reason in the result.
        let _ = self.pieces.send(Piece::End).await;
        drop(self.pieces);
        self.landed.await.map_err(Problem::internal)?
    }

    /// The client broke off.
    pub(crate) async fn interrupt(self) -> Result<T> {
        drop(self.pieces);
        self.landed.await.map_err(Problem::internal)?
    }
}

impl Landing<Upload> {
    /// Goes on with an upload where its safe bytes end. All that arrives is kept, unless there is a
    /// checksum and it is wrong.
    pub(super) fn resumed(app: &Shared, upload: Upload, checksum: Option<[u8; 20]>, gate: Entered) -> Self {
        Self::begin(app, move |app, pieces| {
            let _gate = gate;
            resume(app, upload, checksum, pieces)
        })
    }
}

impl Landing<Video> {
    /// Takes an upload of unknown length in one go, all or nothing, and makes it a video.
    pub(crate) fn whole(app: &Shared, upload: &str, wishes: Wishes) -> Self {
        let upload = upload.to_owned();
        Self::begin(app, move |app, pieces| {
            let result = take_whole(app, &upload, pieces).and_then(|size| app.publish(&upload, size, wishes));
            if result.is_err() {
                app.files.remove_upload(&upload)?;
            }
            result
        })
    }
}

fn take_whole(app: &App, upload: &str, mut pieces: Receiver<Piece>) -> Result<u64> {
    let mut file = File::create_new(app.files.upload(upload))?;
    let mut size = 0;
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Bytes(bytes)) => {
                size += bytes.len() as u64;
                if size > app.config.max_upload {
                    let detail = format!("an upload may have at most {} bytes", app.config.max_upload);
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", detail));
                }
                file.write_all(&bytes)?;
            }
            Some(Piece::End) => break,
            None => return Err(Problem::bad_request("the upload broke off")),
        }
    }
    file.sync_all()?;
    files::sync_folder(&app.files.root().join("uploads"))?;
    app.metrics.upload_bytes.add(size);
    Ok(size)
}

fn resume(
    app: &App,
    mut upload: Upload,
    checksum: Option<[u8; 20]>,
    mut pieces: Receiver<Piece>,
) -> Result<Upload> {
    if upload.video.is_some() {
        return Ok(upload);
    }
    let mut file = File::options().write(true).open(app.files.upload(&upload.id))?;
    if file.metadata()?.len() < upload.stored {
        return Err(Problem::new(
            StatusCode::GONE,
            "not_found",
            "bytes of this upload are lost; begin again",
        ));
    }
    // Bytes that nobody was told of may be torn.
    file.set_len(upload.stored)?;
    file.seek(SeekFrom::End(0))?;

    let (mut fresh, mut digest, mut ended, mut refused) = (0, Sha1::new(), false, None);
    while let Some(piece) = pieces.blocking_recv() {
        let Piece::Bytes(bytes) = piece else {
            ended = true;
            break;
        };
        if bytes.len() as u64 > upload.length - upload.stored - fresh {
            let detail = format!("the upload has more than the {} bytes that were announced", upload.length);
            refused = Some(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", detail));
            break;
        }
        if let Err(error) = file.write_all(&bytes) {
            // A part of this piece may be there: it was not told, so it does not count.
            file.set_len(upload.stored + fresh)?;
            refused = Some(Problem::storage(&error));
            break;
        }
        fresh += bytes.len() as u64;
        match checksum {
            Some(_) => digest.update(&bytes),
            None if fresh >= STEP => keep(app, &file, &mut upload, &mut fresh)?,
            None => {}
        }
    }
    if let Some(promised) = checksum
        && (!ended || <[u8; 20]>::from(digest.finalize()) != promised)
    {
        file.set_len(upload.stored)?;
        return Err(refused.unwrap_or_else(checksum_mismatch));
    }
    keep(app, &file, &mut upload, &mut fresh)?;
    if let Some(problem) = refused {
        return Err(problem);
    }
    if upload.stored == upload.length {
        upload.video = Some(app.publish_upload(&upload)?);
    }
    Ok(upload)
}

/// Makes what has arrived safe, then says so.
fn keep(app: &App, file: &File, upload: &mut Upload, fresh: &mut u64) -> Result<()> {
    file.sync_data()?;
    upload.stored += *fresh;
    upload.expires = expiry(app);
    app.store.set_stored(&upload.id, upload.stored, upload.expires)?;
    app.metrics.upload_bytes.add(*fresh);
    *fresh = 0;
    Ok(())
}
