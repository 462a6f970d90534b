//! Values of rows that fit no column, by dataset and path: what the platform has added or changed
//! since the catalog was written.
//!
//! Rows are counted in every commit, so rows that were fetched again count again. A path that was
//! seen once stays, even if the rows that had it are replaced.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::{
    ledger::{Ledger, LedgerError},
    server_text::ServerText,
    time::clock,
};

/// The most paths of a dataset that are recorded one by one (G8). The rows of others count
/// together, as [`DriftRecordKind::FurtherPaths`].
const MOST_PATHS: u32 = 1_000;

/// Why values are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftRecordKind {
    /// The catalog has no column of that name.
    NewField,
    /// The column has another type, or cannot hold the value.
    Misfit,
    /// There are too many other paths to tell them apart. The path is empty.
    FurtherPaths,
    /// An object had a key more than once, and its last value was kept. The path is empty.
    DuplicateKey,
}

impl DriftRecordKind {
    const ALL: [Self; 4] = [Self::NewField, Self::Misfit, Self::FurtherPaths, Self::DuplicateKey];

    /// Its name in the ledger and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::NewField => "new-field",
            Self::Misfit => "misfit",
            Self::FurtherPaths => "further-paths",
            Self::DuplicateKey => "duplicate-key",
        }
    }

    /// `None` if this program does not know the name.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it is about fields that have no column.
    pub(crate) fn is_new(self) -> bool {
        matches!(self, Self::NewField | Self::FurtherPaths)
    }
}

/// Values of a dataset that fit no column, at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftRecord {
    /// Name of the dataset.
    pub dataset: String,
    /// The pattern of the path, such as `participants[].sessions[].newField`.
    pub path: ServerText,
    /// Why the values are in no column.
    pub kind: DriftRecordKind,
    /// The JSON type of the first value. Empty if the path is.
    pub value_type: String,
    /// Rows of commits that had such values; duplicate keys and values at further paths are counted
    /// one by one.
    pub rows: u64,
    /// When the first commit with such a value was, RFC 3339. Empty before it is recorded.
    pub first_seen: String,
}

impl Ledger {
    /// The recorded paths that no summary has reported yet, of the kinds that `is_reported`
    /// selects. They count as reported from now on.
    pub(crate) fn take_unreported_fields(
        &self,
        is_reported: impl Fn(DriftRecordKind) -> bool,
    ) -> Result<Vec<DriftRecord>, LedgerError> {
        self.transaction(|transaction| {
            let mut unreported = fields(transaction, "WHERE NOT told")?;
            unreported.retain(|field| is_reported(field.kind));
            for field in &unreported {
                transaction.execute(
                    "UPDATE new_field SET told = 1 WHERE dataset = ?1 AND path = ?2 AND kind = ?3",
                    params![field.dataset, &*field.path, field.kind.name()],
                )?;
            }
            Ok(unreported)
        })
    }
}

/// Adds what a commit has. Returns what is new to the output.
pub(super) fn add(
    transaction: &Transaction,
    found: &[DriftRecord],
) -> Result<Vec<DriftRecord>, LedgerError> {
    let now = clock::now().to_string();
    let mut new = Vec::new();
    for field in found.iter().filter(|field| field.rows > 0) {
        if increase(transaction, field)? {
            continue;
        }
        let count = "SELECT COUNT(*) FROM new_field WHERE dataset = ?1";
        let paths: u32 = transaction.query_row(count, [&field.dataset], |row| row.get(0))?;
        let mut added = DriftRecord { first_seen: now.clone(), ..field.clone() };
        if paths >= MOST_PATHS && !field.path.is_empty() {
            added.kind = DriftRecordKind::FurtherPaths;
            added.path = ServerText::default();
            added.value_type.clear();
            if increase(transaction, &added)? {
                continue;
            }
        }
        transaction.execute(
            "INSERT INTO new_field (dataset, path, kind, value_type, rows, first_seen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                added.dataset,
                &*added.path,
                added.kind.name(),
                added.value_type,
                added.rows.cast_signed(),
                added.first_seen
            ],
        )?;
        new.push(added);
    }
    Ok(new)
}

/// Adds the rows to a path that is recorded. Returns whether it is.
fn increase(transaction: &Transaction, field: &DriftRecord) -> Result<bool, LedgerError> {
    let key = params![field.dataset, &*field.path, field.kind.name()];
    let sql = "SELECT rows FROM new_field WHERE dataset = ?1 AND path = ?2 AND kind = ?3";
    let rows: Option<i64> = transaction.query_row(sql, key, |row| row.get(0)).optional()?;
    let Some(rows) = rows else { return Ok(false) };
    transaction.execute(
        "UPDATE new_field SET rows = ?4 WHERE dataset = ?1 AND path = ?2 AND kind = ?3",
        params![
            field.dataset,
            &*field.path,
            field.kind.name(),
            rows.saturating_add_unsigned(field.rows)
        ],
    )?;
    Ok(true)
}

/// The records that `filter` selects, in order of dataset and path.
pub(super) fn fields(
    connection: &Connection,
    filter: &str,
) -> Result<Vec<DriftRecord>, rusqlite::Error> {
    let sql = format!(
        "SELECT dataset, path, kind, value_type, rows, first_seen FROM new_field {filter}
         ORDER BY dataset, path, kind"
    );
    let mut query = connection.prepare(&sql)?;
    let mut rows = query.query([])?;
    let mut fields = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(kind) = DriftRecordKind::from_name(row.get_ref(2)?.as_str().unwrap_or_default())
        {
            fields.push(DriftRecord {
                dataset: row.get(0)?,
                path: row.get::<_, String>(1)?.into(),
                kind,
                value_type: row.get(3)?,
                rows: row.get::<_, i64>(4)?.cast_unsigned(),
                first_seen: row.get(5)?,
            });
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, kind: DriftRecordKind, rows: u64) -> DriftRecord {
        DriftRecord {
            dataset: "d".into(),
            path: path.into(),
            kind,
            value_type: "string".into(),
            rows,
            first_seen: String::new(),
        }
    }

    fn commit(ledger: &Ledger, found: &[DriftRecord]) -> Vec<(String, u64)> {
        let new = ledger.commit(&[], &[], found, false).unwrap().new_fields;
        new.into_iter().map(|field| (field.path.to_string(), field.rows)).collect()
    }

    fn recorded(ledger: &Ledger) -> Vec<(String, DriftRecordKind, u64)> {
        let fields = fields(&ledger.lock(), "").unwrap();
        fields.into_iter().map(|field| (field.path.to_string(), field.kind, field.rows)).collect()
    }

    #[test]
    fn a_path_is_new_once_and_its_rows_add_up() {
        let ledger = Ledger::in_memory().unwrap();
        let first =
            [field("a", DriftRecordKind::NewField, 2), field("b", DriftRecordKind::Misfit, 1)];
        assert_eq!(commit(&ledger, &first), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(commit(&ledger, &[field("a", DriftRecordKind::NewField, 3)]), []);
        let expected = [
            ("a".to_owned(), DriftRecordKind::NewField, 5),
            ("b".to_owned(), DriftRecordKind::Misfit, 1),
        ];
        assert_eq!(recorded(&ledger), expected);
    }

    #[test]
    fn a_path_is_reported_once_and_only_where_its_kind_is_reported() {
        let ledger = Ledger::in_memory().unwrap();
        commit(
            &ledger,
            &[field("a", DriftRecordKind::NewField, 2), field("b", DriftRecordKind::Misfit, 1)],
        );
        let reported = |new: bool| -> Vec<String> {
            let unreported = ledger.take_unreported_fields(|kind| new || !kind.is_new()).unwrap();
            unreported.into_iter().map(|field| field.path.to_string()).collect()
        };
        assert_eq!(reported(false), ["b"]);
        assert_eq!(reported(false), Vec::<String>::new());
        assert_eq!(reported(true), ["a"], "what was not reported is once that is wanted");
        assert_eq!(reported(true), Vec::<String>::new());
    }

    #[test]
    fn g8_more_paths_than_the_most_are_counted_together() {
        let ledger = Ledger::in_memory().unwrap();
        let most = MOST_PATHS as usize;
        let found: Vec<_> =
            (0..most + 5).map(|n| field(&format!("f{n}"), DriftRecordKind::NewField, 2)).collect();
        assert_eq!(commit(&ledger, &found).len(), most + 1);
        assert_eq!(commit(&ledger, &found), []);
        let recorded = recorded(&ledger);
        assert_eq!(recorded[0], (String::new(), DriftRecordKind::FurtherPaths, 20));
        assert_eq!(recorded.len(), most + 1);
    }
}
