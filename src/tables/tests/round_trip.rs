//! What `NestedRows` reads back from tables is what they were made from.

use arrow::{
    array::{AsArray, BooleanArray},
    compute::{concat_batches, filter_record_batch},
    datatypes::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use fastrand::Rng;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::sandbox::{Region, Settings};

/// A value as JSON, in which empty lists, empty maps and objects without values are null.
fn json_of(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    let or_null = |object: Map<String, Value>| match object.is_empty() {
        true => Value::Null,
        false => Value::Object(object),
    };
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Timestamp(..) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row).into()
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            let values =
                columns.map(|(field, column)| (field.name().clone(), json_of(column, row)));
            or_null(values.filter(|(_, value)| !value.is_null()).collect())
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            let values: Vec<_> = (0..list.len()).map(|row| json_of(&list, row)).collect();
            if values.is_empty() { Value::Null } else { values.into() }
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let [keys, values] = [0, 1].map(|column| Arc::clone(entries.column(column)));
            let key = |row| keys.as_string::<i32>().value(row).to_owned();
            or_null((0..entries.len()).map(|row| (key(row), json_of(&values, row))).collect())
        }
        other => panic!("{other}"),
    }
}

fn json_rows(batch: &RecordBatch) -> Vec<Value> {
    let rows = as_array(batch);
    (0..batch.num_rows()).map(|row| json_of(&rows, row)).collect()
}

/// A batch in pieces of random length, some of them empty.
fn pieces(batch: &RecordBatch, rng: &mut Rng) -> Vec<RecordBatch> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    while start < batch.num_rows() {
        let length = rng.usize(0..=7).min(batch.num_rows() - start);
        pieces.push(batch.slice(start, length));
        start += length;
    }
    pieces
}

fn stream(batches: Vec<RecordBatch>) -> Batches {
    Box::new(batches.into_iter().map(Ok))
}

/// The tables of some rows in a random order, each in pieces, without those that have no rows.
fn tables_of(
    dataset: &Dataset,
    rows: &RecordBatch,
    rng: &mut Rng,
) -> Vec<(Arc<Table>, Vec<RecordBatch>)> {
    let table = |table: &Arc<Table>| {
        let batch = table_rows(table, rows).unwrap();
        let is_needed = batch.num_rows() > 0 || table.is_root() || rng.bool();
        is_needed.then(|| (Arc::clone(table), pieces(&batch, rng)))
    };
    let mut tables: Vec<_> = dataset.tables.iter().filter_map(table).collect();
    rng.shuffle(&mut tables);
    tables
}

fn read_back(
    dataset: &Dataset,
    tables: Vec<(Arc<Table>, Vec<RecordBatch>)>,
) -> Result<RecordBatch, ArrowError> {
    let streams = tables.into_iter().map(|(table, batches)| (table, stream(batches)));
    let rows = NestedRows::new(&Arc::new(dataset.clone()), streams.collect())?;
    let batches = rows.collect::<Result<Vec<_>, _>>()?;
    concat_batches(&dataset.schema, &batches)
}

/// A list of up to `most` values, or none, or an empty one.
fn list(rng: &mut Rng, most: usize, value: impl Fn(&mut Rng) -> Value) -> Value {
    match rng.u8(0..6) {
        0 => Value::Null,
        1 => json!([]),
        _ => (0..rng.usize(1..=most)).map(|_| value(rng)).collect(),
    }
}

fn text(rng: &mut Rng) -> Value {
    match rng.u8(0..4) {
        0 => Value::Null,
        _ => rng.u8(..).to_string().into(),
    }
}

fn map(rng: &mut Rng) -> Value {
    (0..rng.usize(0..4)).map(|key| (format!("k{key}"), text(rng))).collect::<Map<_, _>>().into()
}

/// A field of an object, and what makes its values.
type RandomField<'a> = (&'a str, &'a dyn Fn(&mut Rng) -> Value);

fn object(rng: &mut Rng, fields: &[RandomField]) -> Value {
    match rng.u8(0..8) {
        0 => Value::Null,
        1 => json!({}),
        _ => fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value(rng)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

fn time(rng: &mut Rng) -> Value {
    format!("2024-01-01T{:02}:00:00Z", rng.u8(0..24)).into()
}

fn call(rng: &mut Rng, number: usize) -> Value {
    let part = |rng: &mut Rng| {
        let ms = |rng: &mut Rng| rng.i32(..).into();
        object(rng, &[("kind", &text), ("start", &time), ("ms", &ms)])
    };
    let step = |rng: &mut Rng| object(rng, &[("at", &time), ("no", &|rng| rng.i8(..).into())]);
    let flow = |rng: &mut Rng| {
        object(rng, &[("flowId", &text), ("steps", &|rng| list(rng, 3, step)), ("labels", &map)])
    };
    let leg = |rng: &mut Rng| {
        object(
            rng,
            &[
                ("name", &text),
                ("good", &|rng| rng.bool().into()),
                ("score", &|rng| rng.f64().into()),
                ("flow", &flow),
                ("tags", &|rng| list(rng, 3, text)),
                ("parts", &|rng| list(rng, 4, part)),
            ],
        )
    };
    json!({
        "id": format!("c{number}"), "at": time(rng), "notes": map(rng), "legs": list(rng, 4, leg),
        "new": text(rng),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn nested_rows_are_read_back_from_their_tables(seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let dataset = calls();
        let rows: Value = (0..rng.usize(0..30)).map(|number| call(&mut rng, number)).collect();
        let rows = batch(&dataset, &rows.to_string());
        let tables = tables_of(&dataset, &rows, &mut rng);
        let found = read_back(&dataset, tables).unwrap();
        prop_assert_eq!(json_rows(&found), json_rows(&rows));
    }
}

/// Conversations of the sandbox.
fn conversations() -> (Dataset, RecordBatch) {
    let dataset = Dataset::clone(catalog::test_dataset("conversations"));
    let settings = Settings { conversations_per_day: 300, ..Settings::default() };
    let day = 1_710_720_000_000;
    let truth: Vec<_> = Region::new(settings)
        .truth(day..day + 86_400_000)
        .flat_map(|piece| piece.to_vec())
        .collect();
    let rows: Vec<_> = std::str::from_utf8(&truth).unwrap().lines().collect();
    assert!(rows.len() > 100);
    let rows = batch(&dataset, &format!(r#"{{"conversations": [{}]}}"#, rows.join(",")));
    (dataset, rows)
}

#[test]
fn conversations_are_read_back_from_their_tables() {
    let (dataset, rows) = conversations();
    let mut rng = Rng::with_seed(1);
    let tables = tables_of(&dataset, &rows, &mut rng);
    let count = |name: &str| -> usize {
        let of_name = tables.iter().filter(|(table, _)| table.name == name);
        of_name.flat_map(|(_, batches)| batches).map(RecordBatch::num_rows).sum()
    };
    let counts = ["conversations", "participants", "sessions", "segments", "metrics"].map(count);
    assert!(counts.is_sorted() && counts[0] == rows.num_rows(), "{counts:?}");
    assert_eq!(json_rows(&read_back(&dataset, tables).unwrap()), json_rows(&rows));
}

#[test]
fn rows_of_tables_that_do_not_fit_together_are_refused() {
    let dataset = calls();
    let rows = batch(&dataset, ROWS);
    let read = |name: &str, change: &dyn Fn(&RecordBatch) -> RecordBatch| {
        let tables = dataset.tables.iter().map(|table| {
            let rows = table_rows(table, &rows).unwrap();
            let rows = if table.name == name { change(&rows) } else { rows };
            (Arc::clone(table), vec![rows])
        });
        read_back(&dataset, tables.collect()).map(|_| ()).map_err(|error| error.to_string())
    };
    let without = |row: usize| {
        move |rows: &RecordBatch| {
            let kept: BooleanArray = (0..rows.num_rows()).map(|index| Some(index != row)).collect();
            filter_record_batch(rows, &kept).unwrap()
        }
    };
    assert_eq!(read("", &RecordBatch::clone), Ok(()));
    for (name, row, refused) in [
        ("legs", 0, "`legs` are missing"),
        ("legs", 4, "`parts` are missing"),
        ("parts", 0, "`parts` are missing"),
        ("calls", 0, "`legs` has rows that belong to no row"),
    ] {
        let error = read(name, &without(row)).unwrap_err();
        assert!(error.contains(refused), "{name} {row}: {error}");
    }
    let reversed = |rows: &RecordBatch| {
        let halves = [rows.slice(2, rows.num_rows() - 2), rows.slice(0, 2)];
        concat_batches(&rows.schema(), &halves).unwrap()
    };
    assert!(read("calls", &reversed).is_err());
    assert!(read("parts", &reversed).is_err());
    let other = calls().tables[1].clone();
    let alone = NestedRows::new(&Arc::new(dataset.clone()), vec![(other, stream(Vec::new()))]);
    assert!(alone.is_err(), "the rows of the dataset are missing");
}

#[test]
fn an_empty_list_and_an_object_without_values_come_back_as_null() {
    let dataset = calls();
    let rows = batch(&dataset, ROWS);
    let back = read_back(&dataset, tables_of(&dataset, &rows, &mut Rng::with_seed(1))).unwrap();
    let nulls = |array: &dyn Array| -> Vec<bool> {
        (0..array.len()).map(|row| array.is_null(row)).collect()
    };
    assert_eq!(nulls(&back["legs"]), [false, true, true, false]);
    assert_eq!(nulls(&back["notes"]), [true, true, false, true]);
    let legs = back["legs"].as_list::<i32>().values().as_struct();
    assert_eq!(nulls(&legs["flow"]), [false, true, true, true, true]);
    assert_eq!(nulls(&legs["parts"]), [false, true, true, false, false]);
}
