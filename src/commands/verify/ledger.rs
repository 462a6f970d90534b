//! Whether the ledger agrees with itself.

use crate::{
    commands::verify::Difference,
    ledger::{FileRecord, ShardRecord, reader::DatasetRecords},
};

/// Whether a file holds rows that could not be decoded.
pub(crate) fn is_quarantine(file: &FileRecord) -> bool {
    file.path.ends_with(".ndjson")
}

/// Shards that overlap, and shards whose rows do not add up (G5).
pub(crate) fn differences(records: &DatasetRecords, tell: &mut dyn FnMut(Difference)) {
    let mut tell = |shard: &ShardRecord, what| {
        tell(Difference { place: format!("{} {}", shard.dataset, shard.interval), what });
    };
    for pair in records.shards.windows(2) {
        if pair[0].interval.overlaps(pair[1].interval) {
            tell(
                &pair[1],
                format!(
                    "it overlaps {}, which is committed too: rows are there twice",
                    pair[0].interval
                ),
            );
        }
    }
    for shard in &records.shards {
        let counts = shard.counts;
        if !counts.balance() {
            tell(shard, format!("its rows do not add up: {counts:?}"));
        }
        let rows = |quarantine: bool| -> u64 {
            shard
                .files
                .iter()
                .filter(|file| is_quarantine(file) == quarantine)
                .map(|file| file.rows)
                .sum()
        };
        if rows(false) != counts.written {
            tell(
                shard,
                format!("its files hold {} rows, and {} were written", rows(false), counts.written),
            );
        }
        if rows(true) != counts.quarantined {
            tell(
                shard,
                format!("{} quarantined rows are kept of {}", rows(true), counts.quarantined),
            );
        }
    }
}
