//! What happened to shards: commits, splits, failures, doubts and requests that were sent again.
//!
//! Nothing depends on these records; people look at them.

use rusqlite::{Connection, Row, Transaction, params};

use crate::{
    ledger::{Ledger, LedgerError, ShardCost, ShardRecord},
    server_text::ServerText,
    time::{clock, interval::Interval},
};

/// The most events that are kept: the newest (G8).
const MOST_EVENTS: i64 = 50_000;

/// The most events of one interval that are read: the newest.
const MOST_READ: i64 = 1_000;

/// Something that happened to a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventRecord {
    /// When, RFC 3339.
    pub at: String,
    /// The number of the run. `None` if there was none.
    pub run: Option<i64>,
    /// `committed`, `split`, `failed`, `doubtful`, `retried`, `merged`, `forgotten`
    /// or `dropped`.
    pub kind: String,
    pub interval: Interval,
    /// Why; empty if there is nothing to say.
    pub reason: String,
    /// The platform's correlation id of the request; empty if there is none.
    pub correlation: String,
    /// Rows that were written. `None` if the event is not a commit.
    pub rows: Option<u64>,
    /// What it cost. `None` if that is not known.
    pub cost: Option<ShardCost>,
}

/// An attempt of a request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedAttempt {
    /// When, RFC 3339.
    pub at: String,
    /// What failed, and what is done about it.
    pub reason: String,
    /// The platform's correlation id of the request; empty if there is none.
    pub correlation: String,
}

impl EventRecord {
    /// An event of now that is no commit.
    pub(super) fn new(kind: &str, interval: Interval, reason: &str) -> Self {
        Self {
            at: clock::now().to_string(),
            run: None,
            kind: kind.to_owned(),
            interval,
            reason: reason.to_owned(),
            correlation: String::new(),
            rows: None,
            cost: None,
        }
    }

    /// The commit of a shard.
    pub(super) fn commit(record: &ShardRecord) -> Self {
        Self {
            rows: Some(record.counts.written),
            cost: record.details.cost,
            ..Self::new("committed", record.interval, "")
        }
    }
}

impl Ledger {
    /// Records attempts of the requests of a shard that failed.
    pub(crate) fn record_attempts(
        &self,
        dataset: &str,
        interval: Interval,
        attempts: &[FailedAttempt],
    ) -> Result<(), LedgerError> {
        self.transaction(|transaction| {
            for FailedAttempt { at, reason, correlation } in attempts {
                let event = EventRecord {
                    at: at.clone(),
                    correlation: correlation.clone(),
                    ..EventRecord::new("retried", interval, reason)
                };
                insert(transaction, dataset, &event)?;
            }
            Ok(())
        })
    }
}

/// Records an event of the present run.
pub(super) fn insert(
    transaction: &Transaction,
    dataset: &str,
    event: &EventRecord,
) -> Result<(), LedgerError> {
    let signed = |number: u64| number.cast_signed();
    let cost = event.cost;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO shard_event (run, at, dataset, from_ms, to_ms, kind, reason, correlation,
                                  rows, requests, retries, duration_ms)
         VALUES ((SELECT MAX(id) FROM run), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    insert.execute(params![
        event.at,
        dataset,
        event.interval.from_ms(),
        event.interval.to_ms(),
        event.kind,
        event.reason,
        event.correlation,
        event.rows.map(signed),
        cost.map(|cost| signed(cost.requests)),
        cost.map(|cost| signed(cost.retries)),
        cost.map(|cost| signed(cost.duration_ms)),
    ])?;
    Ok(())
}

/// Deletes the oldest events if there are too many.
pub(super) fn delete_old(connection: &Connection) -> Result<(), LedgerError> {
    let sql = "DELETE FROM shard_event WHERE id <= (SELECT MAX(id) FROM shard_event) - ?1";
    connection.execute(sql, [MOST_EVENTS])?;
    Ok(())
}

/// The events of an interval of a dataset, the oldest first.
pub(super) fn events(
    view: &Connection,
    dataset: &str,
    interval: Interval,
) -> Result<Vec<EventRecord>, rusqlite::Error> {
    let mut query = view.prepare(
        "SELECT at, run, kind, from_ms, to_ms, reason, correlation, rows, requests, retries,
                duration_ms
         FROM shard_event WHERE dataset = ?1 AND from_ms < ?3 AND to_ms > ?2
         ORDER BY id DESC LIMIT ?4",
    )?;
    let key = params![dataset, interval.from_ms(), interval.to_ms(), MOST_READ];
    let events = query.query_map(key, |row| {
        let (from, to) = (row.get(3)?, row.get(4)?);
        let text =
            |index| row.get::<_, String>(index).map(|text| ServerText::from(text).to_string());
        Ok(EventRecord {
            at: row.get(0)?,
            run: row.get(1)?,
            kind: row.get(2)?,
            interval: Interval::new(from, to)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(4, to))?,
            reason: text(5)?,
            correlation: text(6)?,
            rows: optional(row, 7)?,
            cost: cost(row, 8)?,
        })
    })?;
    let mut events = events.collect::<Result<Vec<_>, rusqlite::Error>>()?;
    events.reverse();
    Ok(events)
}

/// The cost in the columns from `first` on. `None` if it is not known.
pub(super) fn cost(row: &Row, first: usize) -> Result<Option<ShardCost>, rusqlite::Error> {
    let [requests, retries, duration_ms] =
        [optional(row, first)?, optional(row, first + 1)?, optional(row, first + 2)?];
    Ok(requests.map(|requests| ShardCost {
        requests,
        retries: retries.unwrap_or_default(),
        duration_ms: duration_ms.unwrap_or_default(),
    }))
}

fn optional(row: &Row, index: usize) -> Result<Option<u64>, rusqlite::Error> {
    Ok(row.get::<_, Option<i64>>(index)?.map(i64::cast_unsigned))
}
