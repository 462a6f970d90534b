//! Committed shards that are to be replaced.

use rusqlite::{Transaction, params};

use crate::{
    ledger::{LedgerError, execute_prepared, overlap::overlapping},
    time::interval::Interval,
};

/// Marks the committed shards that overlap an interval as stale: they are to be replaced.
pub(super) fn mark_stale(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
) -> Result<(), LedgerError> {
    let sql = concat!("UPDATE shard SET stale = 1 WHERE ", overlapping!("shard"));
    execute_prepared(transaction, sql, params![dataset, interval.from_ms(), interval.to_ms()])?;
    Ok(())
}
