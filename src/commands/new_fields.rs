//! Values that fit no column, as summaries and `status` report them.

use serde::Serialize;

use crate::{
    catalog::{Dataset, EXTRA, type_places},
    ledger::{DriftRecord, DriftRecordKind},
};

/// Values of a dataset that fit no column, at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NewField {
    /// Name of the dataset.
    pub dataset: String,
    /// The path without positions, such as `participants[].sessions[].newField`. Empty for values
    /// that are counted without their paths.
    pub path: String,
    /// Why the values are in no column.
    #[serde(serialize_with = "kind_name")]
    pub kind: DriftRecordKind,
    /// The JSON type of the first value.
    pub value_type: String,
    /// Rows received with such values, rows that were fetched again included.
    pub rows: u64,
    /// When they were first seen, RFC 3339.
    pub first_seen: String,
    /// What would make the field a column. `None` if it is not a new field, or if its place in the
    /// catalog is not known.
    pub column: Option<ColumnLine>,
}

/// A line of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ColumnLine {
    /// The type that the line belongs to.
    #[serde(rename = "type")]
    pub of: String,
    pub line: String,
}

fn kind_name<S: serde::Serializer>(
    kind: &DriftRecordKind,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

impl NewField {
    /// A record of the ledger with what `dataset` says about it. `dataset` is `None` if it is not
    /// known.
    pub(crate) fn new(record: DriftRecord, dataset: Option<&Dataset>) -> Self {
        let DriftRecord { dataset: name, path, kind, value_type, rows, first_seen } = record;
        let line = dataset
            .filter(|_| kind == DriftRecordKind::NewField)
            .and_then(|dataset| dataset.column_line(&path, &value_type));
        Self {
            dataset: name,
            path: path.to_string(),
            kind,
            column: line.map(|(of, line)| ColumnLine { of: of.to_owned(), line }),
            value_type,
            rows,
            first_seen,
        }
    }

    /// Whether `dataset` has a column for the field now, or ignores it.
    pub(crate) fn is_settled(&self, dataset: &Dataset) -> bool {
        self.kind == DriftRecordKind::NewField
            && (dataset.ignore.contains(&self.path)
                || type_places::is_column(dataset.schema.fields(), &self.path))
    }

    /// The values in one line, such as
    /// `legs[].newField: 812 rows, first seen 2026-11-28, e.g. string`.
    pub(crate) fn text(&self) -> String {
        let Self { path, value_type, rows, .. } = self;
        let since = self.first_seen.split('T').next().unwrap_or_default();
        match self.kind {
            DriftRecordKind::NewField => {
                let column = self.column.as_ref().map(|ColumnLine { of, line }| {
                    format!("; to make it a column: {line} under [type.{of}]")
                });
                let column = column.unwrap_or_default();
                format!("{path}: {rows} rows, first seen {since}, e.g. {value_type}{column}")
            }
            DriftRecordKind::Misfit => format!(
                "{path}: {rows} rows with a value that does not fit the column, first seen {since}, \
                 e.g. {value_type}"
            ),
            DriftRecordKind::FurtherPaths => {
                format!("{rows} values at further paths, first seen {since}: see {EXTRA}")
            }
            DriftRecordKind::DuplicateKey => format!(
                "{rows} keys came twice in an object, first seen {since}: the last value counts"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn record(path: &str, kind: DriftRecordKind) -> DriftRecord {
        DriftRecord {
            dataset: "conversations".into(),
            path: path.into(),
            kind,
            value_type: "boolean".into(),
            rows: 812,
            first_seen: "2026-11-28T03:00:00Z".into(),
        }
    }

    #[test]
    fn a_new_field_is_told_with_the_line_that_makes_it_a_column() {
        let dataset = catalog::test_dataset("conversations");
        let text = |path: &str, kind| NewField::new(record(path, kind), Some(dataset)).text();
        assert_eq!(
            text("participants[].sessions[].newField", DriftRecordKind::NewField),
            "participants[].sessions[].newField: 812 rows, first seen 2026-11-28, e.g. boolean; to \
             make it a column: newField = \"boolean\" under [type.session]"
        );
        assert_eq!(
            text("participants[].purpose", DriftRecordKind::Misfit),
            "participants[].purpose: 812 rows with a value that does not fit the column, first seen \
             2026-11-28, e.g. boolean"
        );
        assert_eq!(
            NewField::new(record("x", DriftRecordKind::NewField), None).text(),
            "x: 812 rows, first seen 2026-11-28, e.g. boolean"
        );
    }

    #[test]
    fn a_field_that_the_catalog_has_by_now_is_settled() {
        let dataset = catalog::test_dataset("conversations").without_extras();
        let is_settled = |path: &str, kind| {
            NewField::new(record(path, kind), Some(&dataset)).is_settled(&dataset)
        };
        for path in ["participants[].attributes", "participants[].sessions[].flow", "divisionIds"] {
            assert!(is_settled(path, DriftRecordKind::NewField), "{path}");
            assert!(!is_settled(path, DriftRecordKind::Misfit), "{path}");
        }
        assert!(!is_settled("participants[].sessions[].flow.newField", DriftRecordKind::NewField));
    }
}
