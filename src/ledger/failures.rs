//! Shards that failed and are not committed since, and shards that were split.

use rusqlite::{Connection, Transaction, params};

use crate::{
    ledger::{Failure, Ledger, LedgerError, intervals, stale},
    time::{clock, interval::Interval},
};

impl Ledger {
    /// The failed intervals of a dataset that are not committed since, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn failures(&self, dataset: &str) -> Result<Vec<Failure>, LedgerError> {
        failures(&self.lock(), dataset)
    }

    /// Records that a shard failed.
    ///
    /// It replaces what earlier failures say of its interval. If the shard was to replace committed
    /// ones, those stay, marked as stale.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn fail(&self, failure: &Failure) -> Result<(), LedgerError> {
        let Failure { dataset, interval, .. } = failure;
        self.transaction(|transaction| {
            for old in failures(transaction, dataset)? {
                if !old.interval.overlaps(*interval) {
                    continue;
                }
                let key = params![dataset, old.interval.from_ms()];
                transaction
                    .execute("DELETE FROM failure WHERE dataset = ?1 AND from_ms = ?2", key)?;
                for remainder in old.interval.subtract(&[*interval]) {
                    insert(transaction, &Failure { interval: remainder, ..old.clone() })?;
                }
            }
            insert(transaction, failure)?;
            stale::mark_stale(transaction, dataset, *interval)
        })
    }
}

fn failures(connection: &Connection, dataset: &str) -> Result<Vec<Failure>, LedgerError> {
    let mut query = connection.prepare(
        "SELECT from_ms, to_ms, reason, correlation FROM failure
         WHERE dataset = ?1 ORDER BY from_ms",
    )?;
    let mut rows = query.query([dataset])?;
    let mut failures = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(interval) = Interval::new(row.get(0)?, row.get(1)?) {
            failures.push(Failure {
                dataset: dataset.to_owned(),
                interval,
                reason: row.get(2)?,
                correlation: row.get(3)?,
            });
        }
    }
    Ok(failures)
}

fn insert(transaction: &Transaction, failure: &Failure) -> Result<(), LedgerError> {
    let Failure { dataset, interval, reason, correlation } = failure;
    transaction.execute(
        "INSERT OR REPLACE INTO failure (dataset, from_ms, to_ms, reason, correlation, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            dataset,
            interval.from_ms(),
            interval.to_ms(),
            reason,
            correlation,
            clock::now().to_string()
        ],
    )?;
    Ok(())
}

/// Deletes the failures of which every part is committed by now.
pub(super) fn delete_committed(
    transaction: &Transaction,
    dataset: &str,
) -> Result<(), LedgerError> {
    let failed = "SELECT from_ms, to_ms FROM failure WHERE dataset = ?1";
    let committed = "SELECT from_ms, to_ms FROM shard WHERE dataset = ?1";
    let failed = intervals(transaction, failed, dataset)?;
    if failed.is_empty() {
        return Ok(());
    }
    let committed = intervals(transaction, committed, dataset)?;
    for interval in failed {
        if interval.subtract(&committed).is_empty() {
            transaction.execute(
                "DELETE FROM failure WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3",
                params![dataset, interval.from_ms(), interval.to_ms()],
            )?;
        }
    }
    Ok(())
}
