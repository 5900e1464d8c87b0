//! Videos and the keys of protected ones.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use streamverse::core::{KeyId, Scheme};
use streamverse::drm::ContentKey;
use streamverse::vod;
use utoipa::ToSchema;

use super::Store;
use super::uploads::signed;
use crate::api::model::{Options, VideoProblem};

/// Where a video stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = VideoState)]
pub(crate) enum State {
    /// The original is here; nobody has asked for a transcode.
    Uploaded,
    /// A transcode waits for its turn.
    Queued,
    /// A transcode is running.
    Processing,
    /// The newest transcode can be watched.
    Ready,
    /// The newest transcode failed.
    Failed,
    /// It is being deleted and no longer shown.
    Deleting,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Uploaded, Self::Queued, Self::Processing, Self::Ready, Self::Failed, Self::Deleting];

    fn as_str(self) -> &'static str {
        match self {
            Self::Uploaded => "uploaded",
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
        }
    }
}

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(FromSqlError::InvalidType)
    }
}

/// A video as the database knows it.
#[derive(Clone, Debug)]
pub(crate) struct VideoRow {
    pub(crate) id: String,
    pub(crate) upload: String,
    pub(crate) title: String,
    pub(crate) filename: String,
    pub(crate) size: u64,
    pub(crate) state: State,
    pub(crate) options: Options,
    pub(crate) run: u32,
    pub(crate) ready: u32,
    pub(crate) report: Option<vod::Report>,
    pub(crate) problem: Option<VideoProblem>,
    /// The scheme of the presentation that can be watched.
    pub(crate) scheme: Option<Scheme>,
    pub(crate) created: i64,
}

/// A content key and what it is for.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) video: String,
    pub(crate) kid: KeyId,
    pub(crate) key: ContentKey,
    pub(crate) scheme: Scheme,
}

const COLUMNS: &str = "SELECT id, upload, title, filename, size, state, options, run, ready, report, problem,
    created, (SELECT scheme FROM keys WHERE video = videos.id AND keys.run = videos.ready) FROM videos";

impl Store {
    /// Makes a video of a finished upload. Doing it twice does it once.
    pub(crate) fn add_video(&self, video: &VideoRow) -> rusqlite::Result<()> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        tx.execute(
            "INSERT INTO videos (id, upload, title, filename, size, state, options, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                video.id,
                video.upload,
                video.title,
                video.filename,
                signed(video.size),
                video.state,
                text(&video.options),
                video.created
            ],
        )?;
        tx.execute("UPDATE uploads SET video = ?2 WHERE id = ?1", [&video.upload, &video.id])?;
        tx.commit()
    }

    pub(crate) fn video(&self, id: &str) -> rusqlite::Result<Option<VideoRow>> {
        let sql = format!("{COLUMNS} WHERE id = ?1 AND state != 'deleting'");
        self.lock().query_row(&sql, [id], from_row).optional()
    }

    /// Videos older than `before` (a name), newest first.
    pub(crate) fn videos(&self, before: Option<&str>, limit: u32) -> rusqlite::Result<Vec<VideoRow>> {
        let db = self.lock();
        let mut sql = db.prepare(&format!(
            "{COLUMNS} WHERE state != 'deleting' AND (?1 IS NULL OR id < ?1) ORDER BY id DESC LIMIT ?2"
        ))?;
        sql.query_map(params![before, limit], from_row)?.collect()
    }

    /// All videos in a state, for those who tidy up.
    pub(crate) fn videos_in(&self, states: &[State]) -> rusqlite::Result<Vec<VideoRow>> {
        let db = self.lock();
        let mut sql = db.prepare(&format!("{COLUMNS} WHERE state = ?1"))?;
        let mut found = Vec::new();
        for state in states {
            for video in sql.query_map([state], from_row)? {
                found.push(video?);
            }
        }
        Ok(found)
    }

    /// How many videos are in each state.
    pub(crate) fn count_videos(&self) -> rusqlite::Result<Vec<(String, u32)>> {
        let db = self.lock();
        let mut sql = db.prepare("SELECT state, count(*) FROM videos GROUP BY state")?;
        sql.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect()
    }

    /// Begins a new transcode: the next run with these options, and a key if it is protected.
    pub(crate) fn begin_run(&self, id: &str, options: &Options, key: Option<&Key>) -> rusqlite::Result<()> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let run: u32 = tx.query_row(
            "UPDATE videos SET state = ?2, options = ?3, run = run + 1, problem = NULL WHERE id = ?1
             RETURNING run",
            params![id, State::Queued, text(options)],
            |r| r.get(0),
        )?;
        if let Some(key) = key {
            tx.execute(
                "INSERT INTO keys (kid, video, run, scheme, key) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![key.kid.0, id, run, key.scheme.as_str(), key.key.expose()],
            )?;
        }
        tx.commit()
    }

    pub(crate) fn set_state(&self, id: &str, state: State) -> rusqlite::Result<()> {
        let sql = "UPDATE videos SET state = ?2 WHERE id = ?1 AND state != 'deleting'";
        self.lock().execute(sql, params![id, state])?;
        Ok(())
    }

    /// The newest run can be watched from now on; the key of the one before it is destroyed.
    pub(crate) fn finish_run(&self, id: &str, run: u32, report: &vod::Report) -> rusqlite::Result<()> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        tx.execute(
            "UPDATE videos SET state = ?2, ready = ?3, report = ?4, problem = NULL
             WHERE id = ?1 AND state != 'deleting'",
            params![id, State::Ready, run, text(report)],
        )?;
        tx.execute("DELETE FROM keys WHERE video = ?1 AND run < ?2", params![id, run])?;
        tx.commit()
    }

    pub(crate) fn fail_run(&self, id: &str, problem: &VideoProblem) -> rusqlite::Result<()> {
        self.lock().execute(
            "UPDATE videos SET state = ?2, problem = ?3 WHERE id = ?1 AND state != 'deleting'",
            params![id, State::Failed, text(problem)],
        )?;
        Ok(())
    }

    /// Forgets a video, its keys and its upload.
    pub(crate) fn remove_video(&self, id: &str) -> rusqlite::Result<()> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        tx.execute("DELETE FROM uploads WHERE video = ?1", [id])?;
        tx.execute("DELETE FROM videos WHERE id = ?1", [id])?;
        tx.commit()
    }

    /// The key that a KID names.
    pub(crate) fn key(&self, kid: KeyId) -> rusqlite::Result<Option<Key>> {
        let sql = "SELECT video, kid, key, scheme FROM keys JOIN videos ON videos.id = video
                   WHERE kid = ?1 AND state != 'deleting'";
        self.lock().query_row(sql, [kid.0], key_from_row).optional()
    }

    /// The key of a video's `run`-th transcode, if that one is protected.
    pub(crate) fn key_of(&self, video: &str, run: u32) -> rusqlite::Result<Option<Key>> {
        let sql = "SELECT video, kid, key, scheme FROM keys WHERE video = ?1 AND run = ?2";
        self.lock().query_row(sql, params![video, run], key_from_row).optional()
    }
}

fn key_from_row(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        video: row.get(0)?,
        kid: KeyId(row.get(1)?),
        key: ContentKey::new(row.get(2)?),
        scheme: scheme(&row.get::<_, String>(3)?),
    })
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<VideoRow> {
    Ok(VideoRow {
        id: row.get(0)?,
        upload: row.get(1)?,
        title: row.get(2)?,
        filename: row.get(3)?,
        size: row.get::<_, i64>(4)?.unsigned_abs(),
        state: row.get(5)?,
        options: json(row, 6)?,
        run: row.get(7)?,
        ready: row.get(8)?,
        report: optional_json(row, 9)?,
        problem: optional_json(row, 10)?,
        created: row.get(11)?,
        scheme: row.get::<_, Option<String>>(12)?.as_deref().map(scheme),
    })
}

fn scheme(text: &str) -> Scheme {
    if text == "cbcs" { Scheme::Cbcs } else { Scheme::Cenc }
}

/// Our own types always have a JSON form.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let broken =
        |e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e));
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(broken)
}

fn optional_json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    if row.get::<_, Option<String>>(column)?.is_none() { Ok(None) } else { json(row, column).map(Some) }
}
