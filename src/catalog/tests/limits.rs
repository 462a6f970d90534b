//! Types that are deep, wide or both: refused with the key and the limit, whatever they would grow
//! to.

use std::{fmt::Write, sync::Arc};

use arrow::{array::RecordBatch, datatypes::Schema};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{VALID, read};

/// A catalog whose row has a column of this type, with more types.
fn catalog(column: &str, types: &str) -> String {
    format!("{}\n{types}", VALID.replacen("notes = \"map\"", &format!("notes = \"{column}\""), 1))
}

fn error(column: &str, types: &str) -> String {
    read("own.toml", &catalog(column, types)).unwrap_err().to_string()
}

fn lists(count: usize, element: &str) -> String {
    format!("{}{element}{}", "list<".repeat(count), ">".repeat(count))
}

/// Types that contain each other: `t1` contains `t2`, and so on up to `t<count>`.
fn chain(count: usize) -> String {
    let mut types = String::new();
    for number in 1..count {
        writeln!(types, "[type.t{number}]\nin = \"t{}\"", number + 1).unwrap();
    }
    types + &format!("[type.t{count}]\nin = \"map\"")
}

/// Whether a Parquet file with the columns of the catalog can be read.
fn can_be_read(text: &str) -> bool {
    let dataset = Arc::clone(&read("own.toml", text).unwrap().datasets["calls"]);
    let fields = dataset.schema.fields().iter().map(|field| field.as_ref().clone());
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let file = tempfile::tempfile().unwrap();
    let mut writer = ArrowWriter::try_new(&file, Arc::clone(&schema), None).unwrap();
    writer.write(&RecordBatch::new_empty(Arc::clone(&schema))).unwrap();
    writer.close().unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file)
        .is_ok_and(|reader| reader.schema().fields() == schema.fields())
}

#[test]
fn the_deepest_columns_that_are_allowed_can_be_read_from_a_file() {
    assert!(can_be_read(&catalog(&lists(19, "string"), "")));
    assert!(can_be_read(&catalog(&lists(19, "map"), "")));
    assert!(can_be_read(&catalog("t1", &chain(19))));
    assert!(can_be_read(&catalog(&lists(10, "t1"), &chain(9))));
}

#[test]
fn deeper_columns_are_refused_with_the_key_and_the_limit() {
    let limit = "it lies deeper than 20 types and lists, which readers of the files refuse";
    for count in [20, 100, 50_000] {
        let expected = format!("own.toml: type.call.notes: {limit}");
        assert_eq!(error(&lists(count, "string"), ""), expected);
    }
    assert_eq!(error("t1", &chain(20)), format!("own.toml: type.t20.in: {limit}"));
    let error = error("t1", &chain(200));
    assert!(error.ends_with(limit), "{error}");
}

#[test]
fn a_type_that_contains_itself_through_others_is_refused() {
    let types = "[type.a]\nb = \"list<b>\"\n[type.b]\na = \"a\"";
    assert_eq!(error("a", types), "own.toml: type.a: the type contains itself: a → b → a");
}

#[test]
fn more_columns_than_a_file_can_hold_open_are_refused_before_they_are_built() {
    let mut wide = "[type.wide]\n".to_owned();
    for number in 0..2_500 {
        writeln!(wide, "c{number} = \"string\"").unwrap();
    }
    let error_of_wide = error("wide", &wide);
    assert!(error_of_wide.starts_with("own.toml: type.wide.c"), "{error_of_wide}");
    assert!(error_of_wide.contains("more than 2000 columns"), "{error_of_wide}");
    // each type has the next one ten times: 10^15 columns
    let mut doubling = String::new();
    for number in 1..16 {
        writeln!(doubling, "[type.t{number}]").unwrap();
        for column in 0..10 {
            writeln!(doubling, "c{column} = \"t{}\"", number + 1).unwrap();
        }
    }
    let error_of_doubling = error("t1", &(doubling + "[type.t16]\nc = \"string\""));
    assert!(error_of_doubling.contains("more than 2000 columns"), "{error_of_doubling}");
}

#[test]
fn a_file_of_too_many_types_is_refused() {
    let error = error("t1", &chain(1_001));
    assert_eq!(error, "own.toml: type: the file has 1003 types: at most 1000");
}

#[test]
fn tables_that_nest_deeper_than_toml_allows_are_refused_with_their_line() {
    for (open, close) in [("[", "]"), ("{ a = ", " }"), ("[{ a.b = ", " }]")] {
        let body = format!("{}1{}", open.repeat(2_000), close.repeat(2_000));
        let error = read("own.toml", &format!("\nx = {body}")).unwrap_err().to_string();
        assert!(error.starts_with("own.toml: line 2"), "{error}");
    }
    let key = vec!["a"; 70].join(".");
    let body = format!("{}1{}", format!("{{ {key} = ").repeat(70), " }".repeat(70));
    let error = read("own.toml", &format!("{key} = {body}")).unwrap_err().to_string();
    assert!(error.starts_with("own.toml: "), "{error}");
}
