//! Which files hold the rows of a UTC day.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use crate::{
    catalog::{Dataset, Table},
    ledger::{Columns, FileKind, FileRecord, LAYOUT},
    sink::CommittedDay,
};

/// Which files hold the rows of a UTC day. A dataset without tables has nested rows in any layout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One file of nested rows.
    #[default]
    Nested,
    /// A file for each of the flat tables of the dataset.
    Tables,
    /// The file of nested rows, and those of the tables.
    Both,
}

impl Layout {
    pub(crate) const ALL: [Self; 3] = [Self::Nested, Self::Tables, Self::Both];

    /// Its name in the configuration and in the identity of an output.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nested => "nested",
            Self::Tables => "tables",
            Self::Both => "both",
        }
    }

    /// The layout of the output with this identity. `None` if an upgrade to another layout was
    /// interrupted: then it is [`CHANGING_LAYOUT`](crate::ledger::CHANGING_LAYOUT).
    pub(crate) fn of_output(identity: &BTreeMap<String, String>) -> Option<Self> {
        match identity.get(LAYOUT) {
            None => Some(Self::Nested),
            Some(name) => Self::ALL.into_iter().find(|layout| layout.name() == name),
        }
    }

    /// Whether a dataset has files of nested rows.
    pub(crate) fn has_nested(self, dataset: &Dataset) -> bool {
        self != Self::Tables || dataset.tables.is_empty()
    }

    /// The tables of a dataset that have files.
    pub(crate) fn tables(self, dataset: &Dataset) -> &[Arc<Table>] {
        if self == Self::Nested { &[] } else { &dataset.tables }
    }

    /// The files of a UTC day that has rows. Each table has one even if none of its rows are of
    /// that day, so that readers find the columns of all tables.
    pub(crate) fn files(self, dataset: &Dataset) -> Vec<FileKind<'_>> {
        let nested = self.has_nested(dataset).then_some(FileKind::Nested);
        let tables = self.tables(dataset).iter().map(|table| FileKind::Table(&table.name));
        nested.into_iter().chain(tables).collect()
    }

    /// Whether these are the files of a shard in this layout, whatever is quarantined.
    pub(crate) fn is_of(self, dataset: &Dataset, files: &[FileRecord]) -> bool {
        let (kinds, days) = (self.files(dataset), CommittedDay::of(files).len());
        let mut of_rows = files.iter().filter(|file| file.kind() != FileKind::Quarantine);
        of_rows.clone().count() == days * kinds.len()
            && of_rows.all(|file| kinds.contains(&file.kind()))
    }

    /// The columns of the files.
    pub(crate) fn columns(self, dataset: &Dataset) -> Columns {
        let mut columns = Columns::default();
        if self.has_nested(dataset) {
            columns.add(FileKind::Nested, &dataset.schema);
        }
        for table in self.tables(dataset) {
            columns.add(FileKind::Table(&table.name), &table.schema);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sink::tests::calls,
        time::interval::{DAY_MS, Interval},
    };

    #[test]
    fn files_are_of_the_layout_that_all_days_have_whole() {
        let (dataset, interval) = (calls(), Interval::new(0, 2 * DAY_MS).unwrap());
        let file = |kind: FileKind, date: &str| FileRecord {
            path: kind.path("calls", date, interval),
            rows: 1,
            bytes: 1,
            sha256: String::new(),
        };
        let of_day = |layout: Layout, date: &str| -> Vec<_> {
            layout.files(&dataset).into_iter().map(|kind| file(kind, date)).collect()
        };
        let layouts = |files: &[FileRecord]| -> Vec<_> {
            Layout::ALL.into_iter().filter(|layout| layout.is_of(&dataset, files)).collect()
        };
        let [first, second] = ["1970-01-01", "1970-01-02"];
        for layout in Layout::ALL {
            let quarantine = vec![file(FileKind::Quarantine, first)];
            let whole = [of_day(layout, first), of_day(layout, second), quarantine].concat();
            assert_eq!(layouts(&whole), [layout]);
            for other in Layout::ALL.into_iter().filter(|other| *other != layout) {
                let mixed = [of_day(layout, first), of_day(other, second)].concat();
                assert_eq!(layouts(&mixed), [], "{layout:?} and {other:?}");
            }
            if layout != Layout::Nested {
                assert_eq!(layouts(&whole[1..]), [], "{layout:?} without a file of the first day");
            }
        }
    }
}
