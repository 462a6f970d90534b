//! Committed shards with open rows, which are fetched again until the rows are closed.
//!
//! Follow-ups get rarer as the data get older: a shard is fetched again when it is 1, 2, 4, 8 …
//! days old, counted from the end of its interval. So long conversations cost few requests.

use rusqlite::{Connection, Params, Transaction, params};

use crate::{
    ledger::{Ledger, LedgerError, ShardRecord, execute_prepared, overlap::overlapping},
    time::interval::{DAY_MS, Interval},
};

/// When to fetch a shard with open rows again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FollowUp {
    /// Name of the dataset.
    pub dataset: String,
    pub interval: Interval,
    /// How often it was fetched again so far.
    pub attempts: u32,
    /// Milliseconds since 1970: not to be fetched again before.
    pub next_ms: i64,
    /// Rows of the committed shard, and those of them that are open.
    pub rows: u64,
    pub open_rows: u64,
}

impl Ledger {
    /// The shards of a dataset that are to be fetched again, in order.
    pub(crate) fn follow_ups(&self, dataset: &str) -> Result<Vec<FollowUp>, LedgerError> {
        follow_ups(&self.lock(), dataset, "dataset = ?1", [dataset])
    }
}

/// Records when to fetch a shard again that is committed at `now_ms`, if it has open rows.
pub(super) fn update(
    transaction: &Transaction,
    record: &ShardRecord,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let ShardRecord { dataset, interval, open_rows, .. } = record;
    let mut attempts = 0;
    let bounds = params![dataset, interval.from_ms(), interval.to_ms()];
    for old in follow_ups(transaction, dataset, overlapping!("follow"), bounds)? {
        attempts = attempts.max(old.attempts + 1);
        let sql = "DELETE FROM follow WHERE dataset = ?1 AND from_ms = ?2";
        transaction.execute(sql, params![dataset, old.interval.from_ms()])?;
    }
    if *open_rows > 0 {
        let next_ms = next_follow_up(interval.to_ms(), now_ms);
        insert(transaction, dataset, *interval, attempts, next_ms)?;
    }
    Ok(())
}

/// Keeps the follow-ups of an interval whose shards are replaced by records of their own rows: each
/// that has open rows gets the earliest of those that overlap it.
pub(super) fn keep(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
    records: &[ShardRecord],
) -> Result<(), LedgerError> {
    let bounds = params![dataset, interval.from_ms(), interval.to_ms()];
    let old = follow_ups(transaction, dataset, overlapping!("follow"), bounds)?;
    delete_within(transaction, dataset, interval)?;
    for record in records.iter().filter(|record| record.open_rows > 0) {
        let of_record = || old.iter().filter(|old| old.interval.overlaps(record.interval));
        let attempts = of_record().map(|old| old.attempts).max();
        let next_ms = of_record().map(|old| old.next_ms).min();
        if let Some((attempts, next_ms)) = attempts.zip(next_ms) {
            insert(transaction, dataset, record.interval, attempts, next_ms)?;
        }
    }
    Ok(())
}

fn insert(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
    attempts: u32,
    next_ms: i64,
) -> Result<(), LedgerError> {
    execute_prepared(
        transaction,
        "INSERT INTO follow (dataset, from_ms, to_ms, asked, next_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![dataset, interval.from_ms(), interval.to_ms(), attempts, next_ms],
    )?;
    Ok(())
}

/// Deletes the follow-ups of shards within an interval.
pub(super) fn delete_within(
    transaction: &Transaction,
    dataset: &str,
    interval: Interval,
) -> Result<(), LedgerError> {
    transaction.execute(
        "DELETE FROM follow WHERE dataset = ?1 AND from_ms >= ?2 AND to_ms <= ?3",
        params![dataset, interval.from_ms(), interval.to_ms()],
    )?;
    Ok(())
}

/// The first time after `now_ms` at which a shard that ends at `end_ms` is 1, 2, 4, 8 … days old.
fn next_follow_up(end_ms: i64, now_ms: i64) -> i64 {
    let mut age_ms = DAY_MS;
    while end_ms.saturating_add(age_ms) <= now_ms {
        age_ms = age_ms.saturating_mul(2);
    }
    end_ms.saturating_add(age_ms)
}

fn follow_ups(
    connection: &Connection,
    dataset: &str,
    condition: &str,
    params: impl Params,
) -> Result<Vec<FollowUp>, LedgerError> {
    let sql = format!(
        "SELECT from_ms, to_ms, asked, next_ms, COALESCE(rows_written, 0), COALESCE(open_rows, 0)
         FROM (SELECT * FROM follow WHERE {condition})
         LEFT JOIN shard USING (dataset, from_ms, to_ms) ORDER BY from_ms"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query(params)?;
    let mut follow_ups = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(interval) = Interval::new(row.get(0)?, row.get(1)?) {
            let number = |column| row.get(column).map(i64::cast_unsigned);
            follow_ups.push(FollowUp {
                dataset: dataset.to_owned(),
                interval,
                attempts: row.get(2)?,
                next_ms: row.get(3)?,
                rows: number(4)?,
                open_rows: number(5)?,
            });
        }
    }
    Ok(follow_ups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counts, ShardDetails};

    /// Commits a day at `now_ms` with so many open rows, and returns the follow-ups then.
    fn commit(ledger: &Ledger, day: i64, open_rows: u64, now_ms: i64) -> Vec<FollowUp> {
        let record = ShardRecord {
            dataset: "d".to_owned(),
            interval: Interval::day_of(day * DAY_MS),
            counts: Counts::default(),
            files: Vec::new(),
            commit_id: String::new(),
            open_rows,
            details: ShardDetails::default(),
        };
        ledger.transaction(|transaction| update(transaction, &record, now_ms)).unwrap();
        ledger.follow_ups("d").unwrap()
    }

    #[test]
    fn a_shard_with_open_rows_is_followed_up_at_1_2_4_8_days_until_they_are_closed() {
        let ledger = Ledger::in_memory().unwrap();
        let end_ms = DAY_MS;
        for (attempts, (age, next)) in
            [(0, 1), (1, 2), (2, 4), (3, 4), (4, 8), (30, 32)].into_iter().enumerate()
        {
            let follow_ups = commit(&ledger, 0, 3, end_ms + age * DAY_MS);
            let attempts = u32::try_from(attempts).unwrap();
            let (dataset, interval) = ("d".to_owned(), Interval::day_of(0));
            let next_ms = end_ms + next * DAY_MS;
            let (rows, open_rows) = (0, 0);
            assert_eq!(
                follow_ups,
                [FollowUp { dataset, interval, attempts, next_ms, rows, open_rows }]
            );
        }
        assert_eq!(commit(&ledger, 1, 1, 2 * DAY_MS).len(), 2, "another day");
        assert_eq!(commit(&ledger, 0, 0, 40 * DAY_MS).len(), 1, "closed");
    }
}
