//! Uploads: how far each is, and what became of it.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, params};

use super::Store;

/// An upload, finished or not.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) id: String,
    /// Bytes in all.
    pub(crate) length: u64,
    /// Bytes that survive a power failure.
    pub(crate) stored: u64,
    /// What the client said about it.
    pub(crate) metadata: BTreeMap<String, String>,
    /// When it is thrown away if nothing more arrives, in milliseconds since 1970.
    pub(crate) expires: i64,
    /// The video that it became.
    pub(crate) video: Option<String>,
}

impl Store {
    pub(crate) fn add_upload(&self, upload: &Upload) -> rusqlite::Result<()> {
        let metadata = serde_json::json!(upload.metadata).to_string();
        self.lock().execute(
            "INSERT INTO uploads (id, length, stored, metadata, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![upload.id, signed(upload.length), signed(upload.stored), metadata, upload.expires],
        )?;
        Ok(())
    }

    pub(crate) fn upload(&self, id: &str) -> rusqlite::Result<Option<Upload>> {
        let sql = "SELECT id, length, stored, metadata, expires, video FROM uploads WHERE id = ?1";
        self.lock().query_row(sql, [id], from_row).optional()
    }

    /// Notes that so many bytes of an upload are safe.
    pub(crate) fn set_stored(&self, id: &str, stored: u64, expires: i64) -> rusqlite::Result<()> {
        let sql = "UPDATE uploads SET stored = ?2, expires = ?3 WHERE id = ?1";
        self.lock().execute(sql, params![id, signed(stored), expires])?;
        Ok(())
    }

    /// Forgets an upload; its file is the caller's to delete, unless a video uses it.
    pub(crate) fn remove_upload(&self, id: &str) -> rusqlite::Result<()> {
        self.lock().execute("DELETE FROM uploads WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Uploads whose time is over, and that no video uses or that became one.
    pub(crate) fn expired_uploads(&self, now: i64) -> rusqlite::Result<Vec<Upload>> {
        let db = self.lock();
        let mut sql = db.prepare(
            "SELECT id, length, stored, metadata, expires, video FROM uploads WHERE expires <= ?1",
        )?;
        sql.query_map([now], from_row)?.collect()
    }

    /// Whether a file in `uploads/` belongs to anything.
    pub(crate) fn knows_file(&self, upload: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM uploads WHERE id = ?1)
                       OR EXISTS (SELECT 1 FROM videos WHERE upload = ?1)";
        self.lock().query_row(sql, [upload], |r| r.get(0))
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Upload> {
    Ok(Upload {
        id: row.get(0)?,
        length: row.get::<_, i64>(1)?.unsigned_abs(),
        stored: row.get::<_, i64>(2)?.unsigned_abs(),
        metadata: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
        expires: row.get(4)?,
        video: row.get(5)?,
    })
}

/// SQLite knows no unsigned numbers; no file comes near the difference.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
