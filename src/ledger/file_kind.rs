//! What a file of the output holds, told from its path. No other place knows the form of paths.
//!
//! ```text
//! conversations/date=2024-01-01/20240101T000000Z_20240102T000000Z.parquet    the rows
//! conversations.tables/sessions/date=2024-01-01/20240101T000000Z_….parquet   a table of them
//! _quarantine/conversations/20240101T000000Z_….ndjson                        undecodable rows
//! ```

use crate::{
    ledger::{FileRecord, ShardRecord},
    time::interval::Interval,
};

/// The folder of rows that could not be decoded.
pub(crate) const QUARANTINE: &str = "_quarantine";

/// What the name of the folder with the tables of a dataset has after the name of the dataset.
const TABLES: &str = ".tables";

/// Begins the name of the folder of a UTC day.
const DATE: &str = "date=";

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind<'p> {
    /// Rows of a dataset, with all that is nested in them.
    Nested,
    /// Rows of the flat table of this name.
    Table(&'p str),
    /// Rows that could not be decoded, as they came.
    Quarantine,
}

impl<'p> FileKind<'p> {
    /// The kind of the file at this path below the output.
    pub(crate) fn of(path: &'p str) -> Self {
        let mut folders = path.split('/');
        let top = folders.next().unwrap_or_default();
        match folders.next() {
            _ if top == QUARANTINE => Self::Quarantine,
            Some(table) if top.ends_with(TABLES) => Self::Table(table),
            _ => Self::Nested,
        }
    }

    /// The path of the file of this kind with the rows of a shard that are of one UTC day, such as
    /// `2024-01-01`. A file of quarantined rows has those of all days of the shard.
    pub(crate) fn path(self, dataset: &str, date: &str, shard: Interval) -> String {
        let (folder, slug) = (folder(dataset, self), shard.slug());
        match self {
            Self::Nested | Self::Table(_) => format!("{folder}/{DATE}{date}/{slug}.parquet"),
            Self::Quarantine => format!("{folder}/{slug}.ndjson"),
        }
    }
}

impl FileRecord {
    pub(crate) fn kind(&self) -> FileKind<'_> {
        FileKind::of(&self.path)
    }

    /// The date of the UTC day whose rows it holds. `None` if it has those of all days.
    pub(crate) fn date(&self) -> Option<&str> {
        date_of(&self.path)
    }
}

impl ShardRecord {
    /// The files with nested rows.
    pub(crate) fn nested_files(&self) -> impl Iterator<Item = &FileRecord> {
        self.files.iter().filter(|file| file.kind() == FileKind::Nested)
    }

    /// The files that have one row for each row of the dataset: those with nested rows or, if the
    /// output has none, those of the table that is named after the dataset.
    pub(crate) fn row_files(&self) -> impl Iterator<Item = &FileRecord> {
        row_files(&self.dataset, &self.files)
    }
}

/// Those of the files of a shard that have one row for each row of the dataset.
pub(crate) fn row_files<'f>(
    dataset: &str,
    files: &'f [FileRecord],
) -> impl Iterator<Item = &'f FileRecord> {
    let has_nested = files.iter().any(|file| file.kind() == FileKind::Nested);
    let root = root_table(dataset);
    files.iter().filter(move |file| match file.kind() {
        FileKind::Nested => true,
        FileKind::Table(table) => !has_nested && table == root,
        FileKind::Quarantine => false,
    })
}

/// The name of the table that has one row for each row of the dataset.
pub(crate) fn root_table(dataset: &str) -> String {
    dataset.replace('-', "_")
}

/// The date of the UTC day whose folder the file at `path` is in. `None` if it is not in one.
pub(crate) fn date_of(path: &str) -> Option<&str> {
    path.split('/').find_map(|folder| folder.strip_prefix(DATE))
}

/// The folders that may hold files of a dataset.
pub(crate) fn folders_of(dataset: &str) -> [String; 3] {
    [dataset.to_owned(), format!("{dataset}{TABLES}"), folder(dataset, FileKind::Quarantine)]
}

/// The folder of the files of a dataset that are of this kind.
pub(crate) fn folder(dataset: &str, kind: FileKind) -> String {
    match kind {
        FileKind::Nested => dataset.to_owned(),
        FileKind::Table(table) => format!("{dataset}{TABLES}/{table}"),
        FileKind::Quarantine => format!("{QUARANTINE}/{dataset}"),
    }
}

/// The dataset whose folder the file at `path` is in.
pub(crate) fn dataset_of(path: &str) -> &str {
    let mut folders = path.split('/');
    match folders.next().unwrap_or_default() {
        QUARANTINE => folders.next().unwrap_or_default(),
        top => top.strip_suffix(TABLES).unwrap_or(top),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counts, ShardDetails};

    #[test]
    fn the_kind_the_dataset_and_the_date_of_a_file_follow_from_its_path() {
        let shard = Interval::day_of(1_704_067_200_000);
        for kind in [FileKind::Nested, FileKind::Table("sessions"), FileKind::Quarantine] {
            let path = kind.path("user-details", "2024-01-01", shard);
            assert_eq!(FileKind::of(&path), kind, "{path}");
            assert_eq!(dataset_of(&path), "user-details", "{path}");
            let date = (kind != FileKind::Quarantine).then_some("2024-01-01");
            assert_eq!(date_of(&path), date, "{path}");
            let folders = folders_of("user-details");
            assert!(folders.iter().any(|folder| path.starts_with(&format!("{folder}/"))), "{path}");
        }
        assert_eq!(FileKind::of("tables/x.parquet"), FileKind::Nested, "a dataset of this name");
    }

    #[test]
    fn the_rows_of_tables_count_only_where_there_are_no_nested_rows() {
        let interval = Interval::day_of(0);
        let record = |kinds: &[FileKind]| ShardRecord {
            dataset: "calls".to_owned(),
            interval,
            counts: Counts::default(),
            files: kinds
                .iter()
                .map(|kind| FileRecord {
                    path: kind.path("calls", "1970-01-01", interval),
                    rows: 1,
                    bytes: 1,
                    sha256: String::new(),
                })
                .collect(),
            commit_id: String::new(),
            open_rows: 0,
            details: ShardDetails::default(),
        };
        let [all, tables] = [
            record(&[
                FileKind::Quarantine,
                FileKind::Nested,
                FileKind::Table("calls"),
                FileKind::Table("legs"),
            ]),
            record(&[FileKind::Quarantine, FileKind::Table("calls"), FileKind::Table("legs")]),
        ];
        let counted = |record: &ShardRecord| -> Vec<String> {
            record.row_files().map(|file| file.path.clone()).collect()
        };
        let path = |kind: FileKind| kind.path("calls", "1970-01-01", interval);
        assert_eq!(counted(&all), [path(FileKind::Nested)]);
        assert_eq!(counted(&tables), [path(FileKind::Table("calls"))]);
        assert_eq!(tables.nested_files().count(), 0);
    }
}
