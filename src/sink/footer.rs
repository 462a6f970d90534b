//! What the footer of a file says about its commit.

use parquet::file::metadata::KeyValue;

use crate::{
    ledger::{Counts, GapKind},
    time::interval::Interval,
};

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
    /// Why the record is doubtful, with what was observed. Empty if it was not when it was
    /// committed, `None` if an earlier program committed it, which did not say.
    pub doubts: Option<Vec<(GapKind, String)>>,
}

impl Footer {
    /// The entries of the footer's metadata.
    pub(super) fn entries(&self) -> Vec<KeyValue> {
        let Counts { received, written, not_owned, duplicate, quarantined, forgotten } =
            self.counts;
        let counts = serde_json::json!({
            "received": received,
            "written": written,
            "not_owned": not_owned,
            "duplicate": duplicate,
            "quarantined": quarantined,
            "forgotten": forgotten,
        });
        let mut entries = vec![
            entry("interval", self.interval.to_string()),
            entry("commit", self.commit_id.clone()),
            entry("commit_files", self.commit_files.to_string()),
            entry("counts", counts.to_string()),
            entry("open_rows", self.open_rows.to_string()),
        ];
        if let Some(doubts) = &self.doubts {
            let doubt = |(kind, reason): &(GapKind, String)| serde_json::json!({ "kind": kind.name(), "reason": reason });
            let doubts = serde_json::Value::from_iter(doubts.iter().map(doubt));
            entries.push(entry("doubts", doubts.to_string()));
        }
        entries
    }

    /// The footer of a commit of one file without rows.
    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self {
            interval: Interval::new(0, 1).unwrap(),
            commit_id: String::new(),
            commit_files: 1,
            counts: Counts::default(),
            open_rows: 0,
            doubts: None,
        }
    }
}

/// An entry of this program.
pub(super) fn entry(key: &str, value: String) -> KeyValue {
    KeyValue::new(format!("cxbackfill.{key}"), value)
}
