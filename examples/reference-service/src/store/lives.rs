//! Live streams: who may send them, and which there were.

use rusqlite::{OptionalExtension, Row, params};

use super::Store;

/// How a live stream is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// How long its recordings are kept.
    pub(crate) keep_hours: u32,
    /// How long each of their parts is.
    pub(crate) part_minutes: u32,
}

/// A live stream, which is there from its start until it is deleted.
#[derive(Clone, Debug)]
pub(crate) struct LiveRow {
    pub(crate) id: String,
    pub(crate) title: String,
    /// What its key's SHA-256 is.
    pub(crate) key: [u8; 32],
    pub(crate) created: i64,
    /// When somebody last began to send it, in milliseconds since 1970.
    pub(crate) started: Option<i64>,
    /// When it was stopped for good.
    pub(crate) stopped: Option<i64>,
    /// How it is recorded, if it is.
    pub(crate) recorded: Option<Recorded>,
}

const COLUMNS: &str = "SELECT id, title, key, created, started, stopped, keep_hours, part_minutes FROM lives";

impl Store {
    pub(crate) fn add_live(&self, live: &LiveRow) -> rusqlite::Result<()> {
        let (keep, part) = live.recorded.map(|r| (r.keep_hours, r.part_minutes)).unzip();
        self.lock().execute(
            "INSERT INTO lives (id, title, key, created, keep_hours, part_minutes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![live.id, live.title, live.key, live.created, keep, part],
        )?;
        Ok(())
    }

    pub(crate) fn live(&self, id: &str) -> rusqlite::Result<Option<LiveRow>> {
        self.lock().query_row(&format!("{COLUMNS} WHERE id = ?1"), [id], row).optional()
    }

    /// The newest ones first.
    pub(crate) fn lives(&self, limit: u32) -> rusqlite::Result<Vec<LiveRow>> {
        let db = self.lock();
        let mut all = db.prepare(&format!("{COLUMNS} ORDER BY id DESC LIMIT ?1"))?;
        all.query_map([limit], row)?.collect()
    }

    /// All of them, for those who tidy up.
    pub(crate) fn all_lives(&self) -> rusqlite::Result<Vec<LiveRow>> {
        self.lock().prepare(COLUMNS)?.query_map([], row)?.collect()
    }

    /// The stream that may be sent with a key of that SHA-256.
    pub(crate) fn live_of_key(&self, key: &[u8; 32]) -> rusqlite::Result<Option<LiveRow>> {
        let sql = format!("{COLUMNS} WHERE key = ?1 AND stopped IS NULL");
        self.lock().query_row(&sql, params![key], row).optional()
    }

    pub(crate) fn set_live_key(&self, id: &str, key: &[u8; 32]) -> rusqlite::Result<()> {
        self.lock().execute("UPDATE lives SET key = ?2 WHERE id = ?1", params![id, key])?;
        Ok(())
    }

    pub(crate) fn live_started(&self, id: &str, at: i64) -> rusqlite::Result<()> {
        self.lock().execute("UPDATE lives SET started = ?2 WHERE id = ?1", params![id, at])?;
        Ok(())
    }

    pub(crate) fn stop_live(&self, id: &str, at: i64) -> rusqlite::Result<()> {
        self.lock()
            .execute("UPDATE lives SET stopped = ?2 WHERE id = ?1 AND stopped IS NULL", params![id, at])?;
        Ok(())
    }

    pub(crate) fn remove_live(&self, id: &str) -> rusqlite::Result<()> {
        self.lock().execute("DELETE FROM lives WHERE id = ?1", [id])?;
        Ok(())
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<LiveRow> {
    Ok(LiveRow {
        id: row.get(0)?,
        title: row.get(1)?,
        key: row.get(2)?,
        created: row.get(3)?,
        started: row.get(4)?,
        stopped: row.get(5)?,
        recorded: match (row.get(6)?, row.get(7)?) {
            (Some(keep_hours), Some(part_minutes)) => Some(Recorded { keep_hours, part_minutes }),
            _ => None,
        },
    })
}
