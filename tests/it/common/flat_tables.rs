//! What the flat tables of conversations must have, by the truth of the sandbox.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, StructArray},
    record_batch::RecordBatch,
};

use super::scenario_rows::Rows;

/// The number of rows of a table with an id, by the names of tables and the ids.
pub type Elements = BTreeMap<(String, String), usize>;

/// The lists that lead to the rows of tables.
const TABLES: [(&str, &[&str]); 5] = [
    ("conversations", &[]),
    ("participants", &["participants"]),
    ("sessions", &["participants", "sessions"]),
    ("segments", &["participants", "sessions", "segments"]),
    ("metrics", &["participants", "sessions", "metrics"]),
];

/// How many elements these lists of an object have together.
fn elements(object: &StructArray, index: usize, lists: &[&str]) -> usize {
    let Some((list, inner)) = lists.split_first() else { return 1 };
    let list = object.column_by_name(list).unwrap().as_list::<i32>();
    if list.is_null(index) {
        return 0;
    }
    let objects = list.value(index);
    let objects = objects.as_struct();
    (0..objects.len()).map(|index| elements(objects, index, inner)).sum()
}

/// The tables that have other numbers of rows than the truth has elements.
pub fn differences(found: &Elements, truth: &Rows) -> Vec<String> {
    let mut expected = Elements::new();
    for (id, row) in truth {
        let row = StructArray::from(row.clone());
        for (table, lists) in TABLES {
            let count = elements(&row, 0, lists);
            if count > 0 {
                expected.insert((table.to_owned(), id.clone()), count);
            }
        }
    }
    let is_known = |table: &String| TABLES.iter().any(|(known, _)| known == table);
    let found = found.iter().filter(|((table, _), _)| is_known(table));
    let found: Elements = found.map(|(key, count)| (key.clone(), *count)).collect();
    let keys: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let differ = keys.into_iter().filter(|key| found.get(key) != expected.get(key));
    let message = |key: &(String, String)| {
        let (found, expected) = (found.get(key), expected.get(key));
        format!("{} has {found:?} rows of {}, not {expected:?}", key.0, key.1)
    };
    differ.map(message).collect()
}

/// The rows of the truth whose columns are equal to those of the table, as far as it has them; of
/// other rows what the table has.
pub fn rows_of(root: &Rows, truth: &Rows) -> Rows {
    let row = |(id, flat): (&String, &RecordBatch)| {
        let true_row = truth.get(id);
        let row = true_row.filter(|row| has_values_of(flat, row)).unwrap_or(flat);
        (id.clone(), row.clone())
    };
    root.iter().map(row).collect()
}

/// Whether all columns that both rows have are equal.
fn has_values_of(flat: &RecordBatch, row: &RecordBatch) -> bool {
    let schema = row.schema();
    let mut shared = 0;
    let is_equal = schema.fields().iter().zip(row.columns()).all(|(field, column)| {
        let Some(other) = flat.column_by_name(field.name()) else { return true };
        shared += 1;
        other.to_data() == column.to_data()
    });
    is_equal && shared > 3
}
