//! What the footer of a file says about its commit.

use parquet::file::metadata::KeyValue;

use crate::{ledger::Counts, time::interval::Interval};

/// What the footer of a file says about its commit, so that the ledger can be rebuilt from it.
pub(super) struct Footer {
    /// The interval of the record.
    pub interval: Interval,
    pub commit_id: String,
    /// Files of the commit, this one included.
    pub commit_files: usize,
    /// Counts of the record.
    pub counts: Counts,
    /// Written rows of the record that were still open.
    pub open_rows: u64,
}

impl Footer {
    /// The entries of the footer's metadata.
    pub(super) fn entries(&self) -> [KeyValue; 5] {
        let Counts { received, written, not_owned, duplicate, quarantined } = self.counts;
        let counts = serde_json::json!({
            "received": received,
            "written": written,
            "not_owned": not_owned,
            "duplicate": duplicate,
            "quarantined": quarantined,
        });
        [
            entry("interval", self.interval.to_string()),
            entry("commit", self.commit_id.clone()),
            entry("commit_files", self.commit_files.to_string()),
            entry("counts", counts.to_string()),
            entry("open_rows", self.open_rows.to_string()),
        ]
    }
}

/// An entry of this program.
pub(super) fn entry(key: &str, value: String) -> KeyValue {
    KeyValue::new(format!("cxbackfill.{key}"), value)
}
