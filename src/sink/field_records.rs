//! What the ledger records of values that fit no column.

use crate::{
    decode::{Drift, DriftKind},
    ledger::{FieldKind, FieldRecord},
};

/// The records of the values that the rows of a shard have and no column holds.
pub(super) fn field_records(dataset: &str, drift: &Drift) -> Vec<FieldRecord> {
    let record = |path: &str, kind, value_type: String, rows| FieldRecord {
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
            DriftKind::NewField => FieldKind::NewField,
            DriftKind::Misfit => FieldKind::Misfit,
        };
        records.push(record(path, kind, field.json_type.to_string(), field.rows));
    }
    for (kind, values) in [
        (FieldKind::FurtherPaths, drift.other_values),
        (FieldKind::DuplicateKey, drift.duplicate_keys),
    ] {
        if values > 0 {
            records.push(record("", kind, String::new(), values));
        }
    }
    records
}
