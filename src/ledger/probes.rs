//! Row counts that the platform reported.

use rusqlite::{OptionalExtension, params};

use crate::{
    ledger::{Ledger, LedgerError, Probe},
    time::{clock, interval::Interval},
};

impl Ledger {
    /// Records a row count.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn record_probe(&self, dataset: &str, probe: Probe) -> Result<(), LedgerError> {
        let Probe { interval, rows } = probe;
        self.execute(
            "INSERT OR REPLACE INTO probe (dataset, from_ms, to_ms, rows, at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                dataset,
                interval.from_ms(),
                interval.to_ms(),
                rows.cast_signed(),
                clock::now().to_string()
            ],
        )?;
        Ok(())
    }

    /// The items that hold the rows of any interval of a dataset. `None` if the number is not
    /// known.
    pub(crate) fn item_count(&self, dataset: &str) -> Result<Option<u64>, LedgerError> {
        let sql = "SELECT items FROM item_count WHERE dataset = ?1";
        let items: Option<i64> =
            self.lock().query_row(sql, [dataset], |row| row.get(0)).optional()?;
        Ok(items.map(i64::cast_unsigned))
    }

    /// Records the items that hold the rows of any interval of a dataset.
    pub(crate) fn set_item_count(&self, dataset: &str, items: u64) -> Result<(), LedgerError> {
        let sql = "INSERT OR REPLACE INTO item_count (dataset, items) VALUES (?1, ?2)";
        self.lock().execute(sql, params![dataset, items.cast_signed()])?;
        Ok(())
    }

    /// The row counts of a dataset, in order.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn probes(&self, dataset: &str) -> Result<Vec<Probe>, LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT from_ms, to_ms, rows FROM probe WHERE dataset = ?1 ORDER BY from_ms",
        )?;
        let mut rows = query.query([dataset])?;
        let mut probes = Vec::new();
        while let Some(row) = rows.next()? {
            if let Some(interval) = Interval::new(row.get(0)?, row.get(1)?) {
                let rows: i64 = row.get(2)?;
                probes.push(Probe { interval, rows: rows.cast_unsigned() });
            }
        }
        Ok(probes)
    }
}
