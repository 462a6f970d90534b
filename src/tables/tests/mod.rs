mod round_trip;

use arrow::{
    array::{Array, AsArray, ListArray},
    buffer::NullBuffer,
    compute::cast,
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};

use super::*;
use crate::{
    catalog::{self, Dataset},
    decode::{Decoder, PageParser},
    time::interval::Interval,
};

const CATALOG: &str = r#"
[dataset.calls]
version = 1
id      = "id"
time    = "at"
columns = "call"
query   = { path = "/calls", rows = "", paging = "none" }
[dataset.calls.tables.calls.columns]
first    = { first = "legs[].parts[].kind", by = "legs[].parts[].start" }
last     = { last = "legs[].parts[].kind", by = "legs[].parts[].start" }
lastLeg  = { last = "legs[who=agent].name", by = "legs[].parts[].start" }
as_is    = { first = "legs[].parts[].kind" }
as_was   = { last = "legs[].parts[].kind" }
ms       = { sum = "legs[].parts[kind=talk].ms" }
seconds  = { sum = "legs[].parts[kind=talk].ms", unit = "ms" }
score    = { sum = "legs[].score" }
talked   = { any = "legs[].parts[kind=talk]" }
good     = { any = "legs[].good" }
scored   = { any = "legs[].score" }
lasted   = { seconds = ["at", "end"] }
note     = { first = "notes[key=b].value" }
[dataset.calls.tables.legs]
rows = "legs[]"
inherit = ["end"]
columns = { kind = { first = "legs[].parts[].kind" } }
[dataset.calls.tables.parts]
rows = "legs[].parts[]"
inherit = ["legs[].name"]
columns = { of_part = { last = "legs[].parts[].kind" } }
[dataset.calls.tables.notes]
rows = "notes[]"
[dataset.calls.tables.steps]
rows = "legs[].flow.steps[]"
[dataset.calls.tables.labels]
rows = "legs[].flow.labels[]"
[type.call]
id    = "string"
at    = "timestamp"
end   = "timestamp"
legs  = "list<leg>"
notes = "map"
[type.leg]
name  = "string"
who   = "string"
good  = "boolean"
score = "double"
flow  = "flow"
tags  = "list<string>"
parts = "list<part>"
[type.flow]
flowId = "string"
steps  = "list<step>"
labels = "map"
[type.step]
at = "timestamp"
no = "int64"
[type.part]
kind  = "string"
start = "timestamp"
ms    = "int64"
"#;

fn calls() -> Dataset {
    Dataset::clone(&catalog::read("own.toml", CATALOG).unwrap().datasets["calls"])
}

/// The rows of a response as the program decodes them.
fn batch(dataset: &Dataset, rows: &str) -> RecordBatch {
    let parser = PageParser::new(dataset.endpoint(), Vec::new());
    let page = parser.find(rows.as_bytes().to_vec().into()).unwrap();
    let owner = Interval::new(0, i64::MAX / 2).unwrap();
    Decoder::new(&Arc::new(dataset.clone())).decode(&page, owner).unwrap().batch
}

/// Some columns of a table, a text for each row.
fn cells(table: &Table, rows: &RecordBatch, names: &[&str]) -> Vec<String> {
    let found = table_rows(table, rows).unwrap();
    assert_eq!(found.schema(), table.schema);
    let options = FormatOptions::new().with_null("-");
    let column = |name: &&str| {
        let column = Arc::clone(found.column_by_name(name).unwrap());
        match column.data_type() {
            // a zone has no name without its database
            DataType::Timestamp(unit, _) => {
                cast(&column, &DataType::Timestamp(*unit, None)).unwrap()
            }
            _ => column,
        }
    };
    let columns: Vec<_> = names.iter().map(column).collect();
    let formatter = |column| ArrayFormatter::try_new(column, &options).unwrap();
    let columns: Vec<_> = columns.iter().map(|column| formatter(column)).collect();
    let row = |row| {
        let cells = columns.iter().map(|column| column.value(row).to_string());
        cells.collect::<Vec<_>>().join(" ")
    };
    (0..found.num_rows()).map(row).collect()
}

fn table<'d>(dataset: &'d Dataset, name: &str) -> &'d Table {
    dataset.tables.iter().find(|table| table.name == name).unwrap()
}

/// A computed column of one call with these legs.
fn of_legs(column: &str, legs: &str) -> String {
    let dataset = calls();
    let row = format!(r#"[{{"id": "c", "at": "2024-01-01T00:00:00Z", "legs": {legs}}}]"#);
    cells(table(&dataset, "calls"), &batch(&dataset, &row), &[column]).remove(0)
}

const ROWS: &str = r#"[
    {"id": "a", "at": "2024-01-01T00:00:00Z", "end": "2024-01-01T00:01:30.5Z", "legs": [
        {"name": "l1", "flow": {"flowId": "f"}, "parts": [{"kind": "ivr"}, {"kind": "talk"}]},
        {"name": "l2", "parts": []},
        null,
        {"name": "l4", "parts": [{"kind": "hold"}]}]},
    {"id": "b", "at": "2024-01-01T01:00:00Z"},
    {"id": "c", "at": "2024-01-01T02:00:00Z", "legs": [], "notes": {"b": "2", "a": "1", "n": null}},
    {"id": "d", "at": "2024-01-01T03:00:00Z", "legs": [{"parts": [{"ms": 5}]}]}]"#;

#[test]
fn a_table_has_a_row_for_each_element_of_its_list_with_what_contains_it() {
    let dataset = calls();
    let rows = batch(&dataset, ROWS);
    let names = ["id", "legNumber", "name", "flow_flowId"];
    let legs = ["a 1 l1 f", "a 2 l2 -", "a 3 - -", "a 4 l4 -", "d 1 - -"];
    assert_eq!(cells(table(&dataset, "legs"), &rows, &names), legs);
    let names = ["id", "legNumber", "partNumber", "name", "kind", "ms"];
    let parts = ["a 1 1 l1 ivr -", "a 1 2 l1 talk -", "a 4 1 l4 hold -", "d 1 1 - - 5"];
    assert_eq!(cells(table(&dataset, "parts"), &rows, &names), parts);
    let notes = ["c 1 b 2", "c 2 a 1", "c 3 n -"];
    assert_eq!(
        cells(table(&dataset, "notes"), &rows, &["id", "noteNumber", "key", "value"]),
        notes
    );
    assert_eq!(cells(table(&dataset, "calls"), &rows, &["id"]), ["a", "b", "c", "d"]);
}

#[test]
fn the_rows_of_a_part_of_a_batch_are_those_of_its_rows() {
    let dataset = calls();
    let rows = batch(&dataset, ROWS);
    for table in &dataset.tables {
        let names: Vec<_> =
            table.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut parts = Vec::new();
        for row in 0..rows.num_rows() {
            parts.extend(cells(table, &rows.slice(row, 1), &names));
        }
        assert_eq!(parts, cells(table, &rows, &names), "{}", table.name);
        assert!(cells(table, &rows.slice(0, 0), &names).is_empty());
    }
}

#[test]
fn lists_that_a_path_shares_with_the_rows_mean_what_contains_the_row() {
    let dataset = calls();
    let rows = batch(&dataset, ROWS);
    let kinds = ["a 1 ivr", "a 2 -", "a 3 -", "a 4 hold", "d 1 -"];
    assert_eq!(cells(table(&dataset, "legs"), &rows, &["id", "legNumber", "kind"]), kinds);
    let of_part = ["ivr ivr", "talk talk", "hold hold", "- -"];
    assert_eq!(cells(table(&dataset, "parts"), &rows, &["kind", "of_part"]), of_part);
    let ends = cells(table(&dataset, "legs"), &rows, &["end"]);
    assert!(ends[0].starts_with("2024-01-01T00:01:30.5"), "{ends:?}");
    assert_eq!(ends[4], "-");
}

/// Legs with parts of a kind at a second of a day; `-` is a part without a time.
fn legs(legs: &[&[(&str, &str)]]) -> String {
    let part = |(kind, second): &(&str, &str)| match *second {
        "-" => format!(r#"{{"kind": {kind}}}"#),
        second => format!(r#"{{"kind": {kind}, "start": "2024-01-01T00:00:{second}Z"}}"#),
    };
    let leg = |parts: &&[(&str, &str)]| {
        let name = parts.first().map_or("null", |(kind, _)| kind);
        let parts: Vec<_> = parts.iter().map(part).collect();
        format!(r#"{{"who": "agent", "name": {name}, "parts": [{}]}}"#, parts.join(","))
    };
    format!("[{}]", legs.iter().map(leg).collect::<Vec<_>>().join(","))
}

#[test]
fn the_first_and_the_last_value_are_the_earliest_and_the_latest() {
    let later_first = legs(&[&[(r#""x""#, "30"), (r#""y""#, "20")], &[(r#""z""#, "10")]]);
    assert_eq!(
        ["first", "last", "as_is", "as_was"].map(|name| of_legs(name, &later_first)),
        ["z", "x", "x", "z"]
    );
    let nulls = legs(&[&[("null", "01"), (r#""y""#, "20"), ("null", "59")]]);
    assert_eq!(["first", "last", "as_is", "as_was"].map(|name| of_legs(name, &nulls)), ["y"; 4]);
    assert_eq!(["first", "last"].map(|name| of_legs(name, "[]")), ["-"; 2]);
}

#[test]
fn of_equal_times_the_first_in_the_row_is_first_and_the_last_is_last() {
    let equal = legs(&[&[(r#""x""#, "10"), (r#""y""#, "10")], &[(r#""z""#, "10")]]);
    assert_eq!(["first", "last", "lastLeg"].map(|name| of_legs(name, &equal)), ["x", "z", "z"]);
}

#[test]
fn values_without_a_time_count_only_if_none_has_one() {
    let some = legs(&[&[(r#""x""#, "-"), (r#""y""#, "10")], &[(r#""z""#, "-")]]);
    assert_eq!(["first", "last", "lastLeg"].map(|name| of_legs(name, &some)), ["y", "y", "x"]);
    let none = legs(&[&[(r#""x""#, "-"), (r#""y""#, "-")], &[(r#""z""#, "-")]]);
    assert_eq!(["first", "last", "lastLeg"].map(|name| of_legs(name, &none)), ["x", "z", "z"]);
}

#[test]
fn a_value_is_ordered_by_the_latest_time_below_the_list_that_both_share() {
    let two = legs(&[&[(r#""x""#, "10"), (r#""y""#, "50")], &[(r#""z""#, "20"), (r#""w""#, "30")]]);
    assert_eq!(of_legs("lastLeg", &two), "x");
    let customer = two.replacen("agent", "customer", 1);
    assert_eq!(of_legs("lastLeg", &customer), "z", "only agents are meant");
}

#[test]
fn sums_are_of_all_values_that_pass_the_filter() {
    let parts = r#"[{"score": 0.5, "parts": [{"kind": "talk", "ms": 1500}, {"kind": "hold", "ms": 7}]},
        {"score": 2.0, "parts": [{"kind": "talk", "ms": 1}, {"kind": "talk"}]}]"#;
    assert_eq!(
        ["ms", "seconds", "score"].map(|name| of_legs(name, parts)),
        ["1501", "1.501", "2.5"]
    );
    assert_eq!(["ms", "seconds", "score"].map(|name| of_legs(name, "[]")), ["0", "0.0", "0.0"]);
    let most = format!(r#"{{"kind": "talk", "ms": {}}}"#, i64::MAX);
    let too_much = format!(r#"[{{"parts": [{most}, {{"kind": "talk", "ms": 1}}]}}]"#);
    assert_eq!(of_legs("ms", &too_much), "-", "a sum is not clipped");
}

#[test]
fn any_asks_for_an_element_or_a_value_or_a_boolean_that_is_true() {
    let any = |legs: &str| ["talked", "good", "scored"].map(|name| of_legs(name, legs)).join(" ");
    assert_eq!(any("[]"), "false false false");
    assert_eq!(
        any(r#"[{"good": false}, {"score": 0, "parts": [{"kind": "hold"}]}]"#),
        "false false true"
    );
    assert_eq!(any(r#"[{"good": true}, {"parts": [{"kind": "talk"}]}]"#), "true true false");
}

#[test]
fn the_seconds_between_two_times_are_null_if_either_is_missing() {
    let dataset = calls();
    let rows = batch(&dataset, ROWS);
    assert_eq!(cells(table(&dataset, "calls"), &rows, &["lasted"]), ["90.5", "-", "-", "-"]);
    assert_eq!(cells(table(&dataset, "calls"), &rows, &["note"]), ["-", "-", "2", "-"]);
}

#[test]
fn a_map_of_an_id_is_a_text_with_sorted_keys() {
    let catalog = CATALOG.replace("id      = \"id\"", "id = ['id', 'notes']");
    let dataset = &catalog::read("own.toml", &catalog).unwrap().datasets["calls"];
    let rows = batch(dataset, ROWS);
    let texts = ["-", "-", r#"{"a":"1","b":"2","n":null}"#, "-"];
    assert_eq!(cells(table(dataset, "calls"), &rows, &["notes"]), texts);
    assert_eq!(
        cells(table(dataset, "notes"), &rows, &["notes", "key"])[0],
        format!("{} b", texts[2])
    );
}

#[test]
fn what_lies_in_an_object_that_is_null_is_null() {
    let dataset = calls();
    let rows = batch(&dataset, ROWS);
    let legs = rows.column_by_name("legs").unwrap().as_list::<i32>();
    let all_null = NullBuffer::new_null(legs.values().len());
    let (fields, columns, _) = legs.values().as_struct().clone().into_parts();
    let hidden = StructArray::new(fields, columns, Some(all_null));
    let DataType::List(element) = legs.data_type() else { panic!("legs are a list") };
    let hidden = ListArray::new(
        Arc::clone(element),
        legs.offsets().clone(),
        Arc::new(hidden),
        legs.nulls().cloned(),
    );
    let mut columns = rows.columns().to_vec();
    columns[rows.schema().index_of("legs").unwrap()] = Arc::new(hidden);
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let names = ["id", "legNumber", "name", "flow_flowId", "kind"];
    let legs = ["a 1 - - -", "a 2 - - -", "a 3 - - -", "a 4 - - -", "d 1 - - -"];
    assert_eq!(cells(table(&dataset, "legs"), &rows, &names), legs);
    assert!(cells(table(&dataset, "parts"), &rows, &["id"]).is_empty());
}

#[test]
fn rows_with_other_columns_are_refused() {
    let dataset = calls();
    let rows = batch(&dataset, ROWS).project(&[0, 1, 2]).unwrap();
    for table in &dataset.tables {
        assert!(table_rows(table, &rows).is_err(), "{}", table.name);
    }
}
