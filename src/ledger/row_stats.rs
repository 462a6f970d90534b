//! Row density and row size of a dataset, to estimate what is not fetched yet.

use std::time::Duration;

use crate::{
    ledger::{Ledger, LedgerError, Probe},
    time::interval::Interval,
};

/// What the ledger knows about the density of a dataset.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowStats {
    /// Row counts that the platform reported.
    pub probes: Vec<Probe>,
    /// Rows of the committed shards, the size of their files in bytes, and their total width.
    pub committed: (u64, u64, Duration),
    /// The items that hold the rows of any interval, such as users. `None` if the rows of the
    /// dataset are items themselves, or if the number is not known.
    pub items: Option<u64>,
}

impl RowStats {
    /// Reads the statistics of a dataset.
    pub(crate) fn read(ledger: &Ledger, dataset: &str) -> Result<Self, LedgerError> {
        Ok(Self {
            probes: ledger.probes(dataset)?,
            committed: ledger.committed_size(dataset)?,
            items: ledger.item_count(dataset)?,
        })
    }

    /// Estimates the rows of an interval.
    ///
    /// Uses the platform's counts where there are some, and the average density of the committed
    /// shards elsewhere, or of what is counted if nothing is committed. `None` if nothing is known.
    pub(crate) fn rows(&self, interval: Interval) -> Option<u64> {
        let mut counted = Vec::new();
        let mut rows = 0.0;
        for probe in &self.probes {
            if let Some(common) = probe.interval.intersect(interval) {
                let share = common.width().as_secs_f64() / probe.interval.width().as_secs_f64();
                rows += probe.rows as f64 * share;
                counted.push(common);
            }
        }
        let uncounted: f64 =
            interval.subtract(&counted).iter().map(|part| part.width().as_secs_f64()).sum();
        if uncounted > 0.0 {
            rows += uncounted * self.density()?;
        }
        Some(rows.round() as u64)
    }

    /// Average rows a second. `None` if nothing is committed or counted.
    fn density(&self) -> Option<f64> {
        let (mut rows, _, mut width) = self.committed;
        if width.is_zero() {
            rows = self.probes.iter().map(|probe| probe.rows).sum();
            width = self.probes.iter().map(|probe| probe.interval.width()).sum();
        }
        (!width.is_zero()).then(|| rows as f64 / width.as_secs_f64())
    }

    /// Average size of a committed row in its file, in bytes. `None` if no rows are committed.
    pub(crate) fn row_bytes(&self) -> Option<f64> {
        let (rows, bytes, _) = self.committed;
        (rows > 0).then(|| bytes as f64 / rows as f64)
    }
}

impl Ledger {
    /// Rows of the committed shards of a dataset, the size of their files in bytes, and their
    /// total width.
    pub(crate) fn committed_size(
        &self,
        dataset: &str,
    ) -> Result<(u64, u64, Duration), LedgerError> {
        let sql = "
            SELECT (SELECT COALESCE(SUM(rows_written), 0) FROM shard WHERE dataset = ?1),
                   (SELECT COALESCE(SUM(bytes), 0) FROM file WHERE dataset = ?1),
                   (SELECT COALESCE(SUM(to_ms - from_ms), 0) FROM shard WHERE dataset = ?1)";
        let number = |row: &rusqlite::Row, column| row.get(column).map(i64::cast_unsigned);
        let sizes = |row: &rusqlite::Row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?));
        let (rows, bytes, width_ms) = self.lock().query_row(sql, [dataset], sizes)?;
        Ok((rows, bytes, Duration::from_millis(width_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn hours(from: i64, to: i64) -> Interval {
        Interval::new(from * 3_600_000, to * 3_600_000).unwrap()
    }

    #[test]
    fn rows_come_from_counts_and_elsewhere_from_the_density_of_committed_shards() {
        let probe = |interval, rows| Probe { interval, rows };
        let stats = RowStats {
            probes: vec![probe(hours(0, 24), 240)],
            committed: (100, 5_000, 10 * HOUR),
            items: None,
        };
        assert_eq!(stats.rows(hours(0, 12)), Some(120));
        assert_eq!(stats.rows(hours(12, 36)), Some(120 + 120));
        assert_eq!(stats.row_bytes(), Some(50.0));
        let uncommitted = RowStats { probes: stats.probes, ..RowStats::default() };
        assert_eq!(
            (uncommitted.rows(hours(0, 24)), uncommitted.rows(hours(0, 25))),
            (Some(240), Some(250))
        );
        assert_eq!(RowStats::default().rows(hours(0, 24)), None);
    }
}
