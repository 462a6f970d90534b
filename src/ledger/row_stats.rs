//! What the ledger knows of how many rows a dataset has.

use std::time::Duration;

use crate::{
    ledger::{Ledger, LedgerError, Probe},
    time::interval::Interval,
};

/// What is known of how many rows a dataset has.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowStats {
    /// What the platform counted.
    pub probes: Vec<Probe>,
    /// Rows of committed shards, their files' size, and the time that they are of.
    pub committed: (u64, u64, Duration),
}

impl RowStats {
    /// What the ledger knows of a dataset.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub(crate) fn read(ledger: &Ledger, dataset: &str) -> Result<Self, LedgerError> {
        Ok(Self { probes: ledger.probes(dataset)?, committed: ledger.committed_size(dataset)? })
    }

    /// The rows to expect in an interval: what was counted, and as many as elsewhere where nothing was.
    pub(crate) fn rows(&self, interval: Interval) -> Option<u64> {
        let share = |probe: &Probe| {
            let common = probe.interval.intersect(interval)?;
            Some((
                common,
                probe.rows as f64 * common.width().as_secs_f64()
                    / probe.interval.width().as_secs_f64(),
            ))
        };
        let (counted, rows): (Vec<_>, Vec<_>) = self.probes.iter().filter_map(share).unzip();
        let uncounted = interval
            .subtract(&counted)
            .into_iter()
            .map(|left| left.width().as_secs_f64())
            .sum::<f64>();
        let rows = rows.into_iter().sum::<f64>();
        let (committed, _, time) = self.committed;
        let rows = match () {
            () if uncounted == 0.0 => rows,
            () if time.is_zero() => return None,
            () => rows + uncounted * committed as f64 / time.as_secs_f64(),
        };
        Some(rows.round() as u64)
    }

    /// Bytes of a file's row: those of the committed ones.
    pub(crate) fn row_bytes(&self) -> Option<f64> {
        let (rows, bytes, _) = self.committed;
        (rows > 0).then(|| bytes as f64 / rows as f64)
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
    fn what_was_counted_counts_and_the_rest_is_as_dense_as_what_is_committed() {
        let probe = |interval, rows| Probe { interval, rows };
        let known =
            RowStats { probes: vec![probe(hours(0, 24), 240)], committed: (100, 5_000, 10 * HOUR) };
        assert_eq!(known.rows(hours(0, 12)), Some(120));
        assert_eq!(known.rows(hours(12, 36)), Some(120 + 120));
        assert_eq!(known.row_bytes(), Some(50.0));
        let unknown = RowStats { probes: known.probes, ..RowStats::default() };
        assert_eq!((unknown.rows(hours(0, 24)), unknown.rows(hours(0, 25))), (Some(240), None));
    }
}
