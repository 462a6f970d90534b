//! What the ledger records of values that fit no column.

use crate::{
    decode::{Drift, DriftKind},
    ledger::{DriftRecord, DriftRecordKind},
};

/// The records of the values that the rows of a shard have and no column holds.
pub(super) fn drift_records(dataset: &str, drift: &Drift) -> Vec<DriftRecord> {
    let record = |path: &str, kind, value_type: String, rows| DriftRecord {
        dataset: dataset.to_owned(),
        path: path.into(),
        kind,
        value_type,
        rows,
        first_seen: String::new(),
    };
    let mut records = Vec::new();
    for (path, field) in drift.fields() {
        let kind = match field.kind {
            DriftKind::NewField => DriftRecordKind::NewField,
            DriftKind::Misfit => DriftRecordKind::Misfit,
        };
        records.push(record(path, kind, field.json_type.to_string(), field.rows));
    }
    for (kind, values) in [
        (DriftRecordKind::FurtherPaths, drift.other_values),
        (DriftRecordKind::DuplicateKey, drift.duplicate_keys),
    ] {
        if values > 0 {
            records.push(record("", kind, String::new(), values));
        }
    }
    records
}
