//! What happens to fields of responses that have no column.

use serde::Deserialize;

use crate::{
    catalog::{Dataset, EXTRA},
    decode::{Drift, DriftKind},
    http::error::RequestError,
    ledger::{DriftRecord, DriftRecordKind},
    server_text::ServerText,
};

/// The most paths that one commit logs, one line each.
const MOST_LOGGED: usize = 20;

/// What happens to fields that have no column: `output.on_new_field`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewFieldPolicy {
    /// They are kept in `_extra`.
    Keep,
    /// They are kept, and each path is reported once per output.
    Warn,
    /// Their shards fail.
    Fail,
    /// They are counted and not kept.
    Drop,
}

impl NewFieldPolicy {
    /// Whether the log and the summary of a run report paths of this kind. Values that do not fit
    /// their column and duplicate keys are not new fields, and are always reported.
    pub(crate) fn reports(self, kind: DriftRecordKind) -> bool {
        matches!(self, Self::Warn | Self::Fail) || !kind.is_new()
    }

    /// Refuses rows with new fields if the setting is `fail`.
    ///
    /// # Errors
    /// [`RequestError::NewField`] with the first path.
    pub(super) fn check(self, dataset: &Dataset, drift: &Drift) -> Result<(), RequestError> {
        if self != Self::Fail {
            return Ok(());
        }
        let mut new = drift.fields().filter(|(_, field)| field.kind == DriftKind::NewField);
        let Some((path, field)) = new.next() else { return Ok(()) };
        let column = match dataset.column_line(path, &field.json_type.to_string()) {
            Some((of, line)) => format!("write `{line}` or `ignore` into [type.{of}]"),
            None => "make it a column".to_owned(),
        };
        let path = ServerText::quote(path);
        let more = match new.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let reason = format!(
            "the rows have the new field `{path}`{more}: {column} of the catalog, or set \
             output.on_new_field"
        );
        Err(RequestError::NewField(reason.as_str().into()))
    }

    /// Logs the paths of a commit that no earlier commit of the output had. `are_kept` is whether
    /// `[privacy]` lets the values of new fields be kept.
    pub(super) fn log(self, dataset: &Dataset, are_kept: bool, new: &[DriftRecord]) {
        let kept = match are_kept {
            true => format!("kept in {EXTRA}"),
            false => "not kept because of privacy.new_fields".to_owned(),
        };
        let mut reported = new.iter().filter(|field| self.reports(field.kind));
        for field in reported.by_ref().take(MOST_LOGGED) {
            let DriftRecord { path, kind, value_type, rows, .. } = field;
            let (path, rows) = (&**path, *rows);
            match kind {
                DriftRecordKind::NewField => {
                    let column = dataset.column_line(path, value_type).map(|(of, line)| {
                        format!("; to make it a column, write `{line}` into [type.{of}]")
                    });
                    let column = column.unwrap_or_default();
                    tracing::warn!(path, rows, value_type, "new field, {kept}{column}");
                }
                DriftRecordKind::Misfit => {
                    let what = "values that do not fit their column, kept in";
                    tracing::warn!(path, rows, value_type, "{what} {EXTRA}");
                }
                DriftRecordKind::FurtherPaths => {
                    tracing::warn!(values = rows, "more values without a column, {kept}");
                }
                DriftRecordKind::DuplicateKey => {
                    tracing::warn!(
                        keys = rows,
                        "keys came twice in an object: the last one counts"
                    );
                }
            }
        }
        match reported.count() {
            0 => {}
            paths => tracing::warn!(paths, "more new fields: `cxbackfill status` lists them"),
        }
    }
}
