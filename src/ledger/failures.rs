//! Shards that failed and are not committed since, and shards that were split.

use rusqlite::{Connection, Params, Transaction, params};

use crate::{
    ledger::{
        EventRecord, Failure, Ledger, LedgerError, events, intervals, overlap::overlapping, stale,
    },
    time::{clock, interval::Interval},
};

impl Ledger {
    /// The failed intervals of a dataset that are not committed since, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn failures(&self, dataset: &str) -> Result<Vec<Failure>, LedgerError> {
        failures(&self.lock(), dataset, "dataset = ?1", [dataset])
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
            delete_within(transaction, dataset, *interval)?;
            insert(transaction, failure)?;
            let event = EventRecord {
                correlation: failure.correlation.clone(),
                ..EventRecord::new("failed", *interval, &failure.reason)
            };
            events::insert(transaction, dataset, &event)?;
            stale::mark_stale(transaction, dataset, *interval)
        })
    }
}

/// Deletes what earlier failures say of an interval. What lies outside it stays.
pub(super) fn delete_within(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
) -> Result<(), LedgerError> {
    let bounds = params![dataset, interval.from_ms(), interval.to_ms()];
    for old in failures(transaction, dataset, overlapping!("failure"), bounds)? {
        let key = params![dataset, old.interval.from_ms()];
        transaction.execute("DELETE FROM failure WHERE dataset = ?1 AND from_ms = ?2", key)?;
        for remainder in old.interval.subtract(&[interval]) {
            insert(transaction, &Failure { interval: remainder, ..old.clone() })?;
        }
    }
    Ok(())
}

/// The failures of a dataset that meet a condition.
fn failures(
    connection: &Connection,
    dataset: &str,
    condition: &str,
    params: impl Params,
) -> Result<Vec<Failure>, LedgerError> {
    let sql = format!(
        "SELECT from_ms, to_ms, reason, correlation FROM failure
         WHERE {condition} ORDER BY from_ms"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query(params)?;
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

/// Deletes the failures of which every part is committed, now that `interval` is.
pub(super) fn delete_committed(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
) -> Result<(), LedgerError> {
    let bounds = |interval: Interval| (dataset, interval.from_ms(), interval.to_ms());
    let failed = concat!("SELECT from_ms, to_ms FROM failure WHERE ", overlapping!("failure"));
    for failed in intervals(transaction, failed, bounds(interval))? {
        let committed = concat!("SELECT from_ms, to_ms FROM shard WHERE ", overlapping!("shard"));
        let committed = intervals(transaction, committed, bounds(failed))?;
        if failed.subtract(&committed).is_empty() {
            transaction.execute(
                "DELETE FROM failure WHERE dataset = ?1 AND from_ms = ?2 AND to_ms = ?3",
                bounds(failed),
            )?;
        }
    }
    Ok(())
}
