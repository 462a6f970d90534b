//! The rows of committed shards by the hour of their time and their media type.
//!
//! They are written with the shard and deleted with it, in the same transactions, so that they
//! always are those of the committed rows.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, params};

use crate::ledger::{HourRecord, LedgerError};

/// Records the sums of a shard that is recorded.
pub(super) fn insert(
    transaction: &Transaction,
    dataset: &str,
    from_ms: i64,
    sums: &[HourRecord],
) -> Result<(), LedgerError> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO hour_sum (dataset, from_ms, hour_ms, media, rows, rows_handled, handle_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for hour in sums {
        insert.execute(params![
            dataset,
            from_ms,
            hour.hour_ms,
            hour.media,
            hour.rows.cast_signed(),
            hour.rows_handled.cast_signed(),
            hour.handle_ms,
        ])?;
    }
    Ok(())
}

/// Replaces the sums of a shard that is recorded.
pub(super) fn replace(
    transaction: &Transaction,
    dataset: &str,
    from_ms: i64,
    sums: &[HourRecord],
) -> Result<(), LedgerError> {
    let sql = "DELETE FROM hour_sum WHERE dataset = ?1 AND from_ms = ?2";
    transaction.execute(sql, params![dataset, from_ms])?;
    insert(transaction, dataset, from_ms, sums)
}

/// The sums of all shards of each dataset, by hour and media type.
pub(super) fn sums(
    view: &Connection,
) -> Result<BTreeMap<String, Vec<HourRecord>>, rusqlite::Error> {
    let mut query = view.prepare(
        "SELECT dataset, hour_ms, media, SUM(rows), SUM(rows_handled), SUM(handle_ms)
         FROM hour_sum GROUP BY dataset, hour_ms, media ORDER BY dataset, hour_ms, media",
    )?;
    let mut sums: BTreeMap<String, Vec<HourRecord>> = BTreeMap::new();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let hour = hour(row, 1)?;
        let dataset: String = row.get(0)?;
        match sums.get_mut(&dataset) {
            Some(hours) => hours.push(hour),
            None => drop(sums.insert(dataset, vec![hour])),
        }
    }
    Ok(sums)
}

/// The sums of each shard, by its dataset and start.
pub(super) fn sums_of_shards(
    view: &Connection,
) -> Result<BTreeMap<(String, i64), Vec<HourRecord>>, rusqlite::Error> {
    let mut query = view.prepare(
        "SELECT dataset, from_ms, hour_ms, media, rows, rows_handled, handle_ms FROM hour_sum
         ORDER BY dataset, from_ms, hour_ms, media",
    )?;
    let mut sums: BTreeMap<(String, i64), Vec<HourRecord>> = BTreeMap::new();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        sums.entry((row.get(0)?, row.get(1)?)).or_default().push(hour(row, 2)?);
    }
    Ok(sums)
}

/// The sum in the columns from `first` on.
fn hour(row: &rusqlite::Row, first: usize) -> Result<HourRecord, rusqlite::Error> {
    let number = |column| row.get(column).map(i64::cast_unsigned);
    Ok(HourRecord {
        hour_ms: row.get(first)?,
        media: row.get(first + 1)?,
        rows: number(first + 2)?,
        rows_handled: number(first + 3)?,
        handle_ms: row.get(first + 4)?,
    })
}
