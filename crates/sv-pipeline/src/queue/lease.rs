//! Who holds a job, and when it is free again.

use super::journal::{Cell, Journal};
use super::{Error, Lease, Result, State};

/// What matters of a job that somebody holds.
pub(super) struct Held {
    pub(super) attempts: u32,
    pub(super) cancel: bool,
}

/// Checks that a lease is the newest of a job that is running, which stays so until the transaction
/// ends.
pub(super) fn held(tx: &mut dyn Journal, lease: &Lease) -> Result<Held> {
    let sql = "SELECT attempts, cancel FROM jobs WHERE id = $1 AND fence = $2 AND state = 'running'
               FOR UPDATE";
    let row = tx.row(sql, &[lease.job.0.into(), lease.fence.into()])?.ok_or(Error::LeaseLost(lease.job))?;
    Ok(Held { attempts: row.count(0)?, cancel: row.truth(1)? })
}

/// Frees jobs whose lease ended by `expired`. One that has used up its attempts fails: a job that
/// kills its worker must not do so for ever.
pub(super) fn release(tx: &mut dyn Journal, expired: i64, now: i64, attempts: u32) -> Result<()> {
    let over = "SELECT id, attempts, cancel, reason FROM jobs
                WHERE state = 'running' AND lease_until <= $1 FOR UPDATE SKIP LOCKED";
    for row in tx.rows(over, &[expired.into()])? {
        let (tried, cancel) = (row.count(1)?, row.truth(2)?);
        let exhausted = tried >= attempts;
        let state = match (cancel, exhausted) {
            (true, _) => State::Cancelled,
            (false, true) => State::Failed,
            (false, false) => State::Queued,
        };
        let reason = match row.maybe(3)? {
            _ if exhausted => format!("the worker died {tried} times over this job").into(),
            Some(reason) => reason.into(),
            None => Cell::Null,
        };
        tx.rows(
            "UPDATE jobs SET state = $2, reason = $3, worker = NULL, lease_until = NULL, due = $4,
             updated = $4 WHERE id = $1",
            &[row.number(0)?.into(), state.as_str().into(), reason, now.into()],
        )?;
    }
    Ok(())
}
