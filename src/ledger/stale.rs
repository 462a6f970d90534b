//! Committed shards that are to be replaced.

use rusqlite::{Transaction, params};

use crate::{ledger::LedgerError, time::interval::Interval};

/// Marks the committed shards that overlap an interval as stale: they are to be replaced.
pub(super) fn mark_stale(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
) -> Result<(), LedgerError> {
    transaction.execute(
        "UPDATE shard SET stale = 1 WHERE dataset = ?1 AND from_ms < ?3 AND to_ms > ?2",
        params![dataset, interval.from_ms(), interval.to_ms()],
    )?;
    Ok(())
}
