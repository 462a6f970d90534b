//! The columns that the files of a dataset have.
//!
//! Files of different columns in one folder break readers, so a dataset whose columns change must
//! get another version. Here is recorded which columns the version of an output has.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Fields, Schema, TimeUnit};
use rusqlite::{Connection, OptionalExtension, params};
use xxhash_rust::xxh3::xxh3_128;

use crate::ledger::{FileKind, Ledger, LedgerError};

/// The columns of the files of a dataset: the type of each column by its path, such as
/// `participants[].name`, or `sessions/ani` in a file of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Columns(BTreeMap<String, String>);

impl Columns {
    /// Those of files of nested rows.
    pub(crate) fn of(schema: &Schema) -> Self {
        let mut columns = Self::default();
        columns.add(FileKind::Nested, schema);
        columns
    }

    /// Adds those of files of a kind, unless it has columns of that kind already.
    pub(crate) fn add(&mut self, kind: FileKind, schema: &Schema) {
        let table = match kind {
            FileKind::Table(table) => format!("{table}/"),
            FileKind::Nested | FileKind::Quarantine => String::new(),
        };
        let is_of_kind = |path: &String| match table.as_str() {
            "" => !path.contains('/'),
            table => path.starts_with(table),
        };
        if !self.0.keys().any(is_of_kind) {
            add_fields(&mut self.0, &table, schema.fields());
        }
    }

    fn from_json(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap_or_default())
    }

    fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// A hash of the columns, in 32 hexadecimal digits.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{:032x}", xxh3_128(self.to_json().as_bytes()))
    }

    /// Why rows of `old` columns cannot get these: the columns that were removed or changed type.
    pub(crate) fn obstacles(&self, old: &Self) -> Vec<String> {
        let obstacle = |(path, was): (&String, &String)| match self.0.get(path) {
            None => Some(format!("`{path}` is gone")),
            Some(kind) if kind == was || is_finer_time(was, kind) => None,
            Some(kind) => Some(format!("`{path}` is {kind} and was {was}")),
        };
        old.0.iter().filter_map(obstacle).collect()
    }

    /// Whether `old` columns differ from these only as an earlier version of this program wrote
    /// them: times in milliseconds, and without the columns that the program adds, whose names
    /// begin with an underscore.
    pub(crate) fn are_newer_layout_of(&self, old: &Self) -> bool {
        let is_known = |path: &String| old.0.contains_key(path) || path.starts_with('_');
        self != old && self.obstacles(old).is_empty() && self.0.keys().all(is_known)
    }

    /// What changed from `old` to these columns, for a message.
    fn changes(&self, old: &Self) -> String {
        let mut changes = Vec::new();
        for (path, kind) in &self.0 {
            match old.0.get(path) {
                None => changes.push(format!("`{path}` is new")),
                Some(was) if was != kind => {
                    changes.push(format!("`{path}` is {kind} and was {was}"))
                }
                Some(_) => {}
            }
        }
        for path in old.0.keys().filter(|path| !self.0.contains_key(*path)) {
            changes.push(format!("`{path}` is gone"));
        }
        changes.join(", ")
    }
}

/// Whether the types are times in milliseconds, and in microseconds.
fn is_finer_time(was: &str, is: &str) -> bool {
    let time = |unit| DataType::Timestamp(unit, Some("UTC".into())).to_string();
    was == time(TimeUnit::Millisecond) && is == time(TimeUnit::Microsecond)
}

fn add_fields(columns: &mut BTreeMap<String, String>, prefix: &str, fields: &Fields) {
    for field in fields {
        add_column(columns, format!("{prefix}{}", field.name()), field.data_type());
    }
}

fn add_column(columns: &mut BTreeMap<String, String>, path: String, data_type: &DataType) {
    match data_type {
        DataType::Struct(fields) => add_fields(columns, &format!("{path}."), fields),
        DataType::List(item) | DataType::LargeList(item) => {
            add_column(columns, format!("{path}[]"), item.data_type());
        }
        DataType::Map(entries, _) => {
            add_column(columns, format!("{path}{{}}"), entries.data_type());
        }
        leaf => drop(columns.insert(path, leaf.to_string())),
    }
}

impl Ledger {
    /// Whether the columns of a dataset are recorded.
    pub(crate) fn has_columns(&self, dataset: &str) -> Result<bool, LedgerError> {
        Ok(recorded(&self.lock(), dataset)?.is_some())
    }

    /// Checks that the columns of a dataset are those of its files, and records them if none are
    /// recorded.
    ///
    /// # Errors
    /// [`LedgerError::Columns`] if they changed and the version did not,
    /// [`LedgerError::OlderColumns`] if only this program changed.
    pub(crate) fn record_columns(
        &self,
        dataset: &str,
        version: u32,
        columns: &Columns,
    ) -> Result<(), LedgerError> {
        let connection = self.lock();
        let Some((recorded_version, old)) = recorded(&connection, dataset)? else {
            return insert(&connection, dataset, version, columns);
        };
        if recorded_version == version && columns.are_newer_layout_of(&old) {
            let dataset = dataset.to_owned();
            return Err(LedgerError::OlderColumns { dataset, found: version, known: version });
        }
        if recorded_version == version && old != *columns {
            return Err(LedgerError::Columns {
                dataset: dataset.to_owned(),
                version,
                changes: columns.changes(&old),
            });
        }
        Ok(())
    }
}

fn recorded(connection: &Connection, dataset: &str) -> Result<Option<(u32, Columns)>, LedgerError> {
    let sql = "SELECT version, columns FROM dataset_schema WHERE dataset = ?1";
    let found = connection.query_row(sql, [dataset], |row| {
        let json: String = row.get(1)?;
        Ok((row.get(0)?, Columns::from_json(&json)))
    });
    Ok(found.optional()?)
}

/// Records the columns of a dataset, in place of earlier ones.
pub(super) fn insert(
    connection: &Connection,
    dataset: &str,
    version: u32,
    columns: &Columns,
) -> Result<(), LedgerError> {
    connection.execute(
        "INSERT OR REPLACE INTO dataset_schema (dataset, version, fingerprint, columns)
         VALUES (?1, ?2, ?3, ?4)",
        params![dataset, version, columns.fingerprint(), columns.to_json()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;

    use super::*;

    fn columns(fields: &[(&str, DataType)]) -> Columns {
        let item = fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
        let item = DataType::Struct(item.collect());
        let list = DataType::List(Arc::new(Field::new("item", item, true)));
        Columns::of(&Schema::new(vec![Field::new("sessions", list, true)]))
    }

    #[test]
    fn columns_that_change_without_a_new_version_are_refused_by_name() {
        let ledger = Ledger::in_memory().unwrap();
        let old = columns(&[("a", DataType::Utf8), ("b", DataType::Int64), ("c", DataType::Utf8)]);
        let new = columns(&[("a", DataType::Utf8), ("b", DataType::Utf8), ("d", DataType::Utf8)]);
        assert!(!ledger.has_columns("x").unwrap());
        ledger.record_columns("x", 1, &old).unwrap();
        ledger.record_columns("x", 1, &old).unwrap();
        assert!(ledger.has_columns("x").unwrap());
        let error = ledger.record_columns("x", 1, &new).unwrap_err().to_string();
        for change in [
            "`x`",
            "version is still 1",
            "`sessions[].d` is new",
            "`sessions[].c` is gone",
            "`sessions[].b` is Utf8 and was Int64",
        ] {
            assert!(error.contains(change), "{change}: {error}");
        }
    }
}
