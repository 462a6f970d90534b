//! The decoder against independent ones: `arrow-json` and `serde_json`.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field, Schema, TimeUnit},
    json::ReaderBuilder,
};
use serde_json::{Value, json};

use super::*;

/// The schema without time zones, which `arrow-json` needs a database for.
fn without_zone(data_type: &DataType) -> DataType {
    let field = |field: &FieldRef| {
        let data_type = without_zone(field.data_type());
        Arc::new(Field::clone(field).with_data_type(data_type))
    };
    match data_type {
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::List(element) => DataType::List(field(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

/// The rows as `arrow-json` reads them, as JSON.
fn by_arrow(schema: &Schema, rows: &[&str]) -> Vec<Value> {
    let field = |field: &FieldRef| {
        Field::clone(field).with_data_type(without_zone(field.data_type())).with_nullable(true)
    };
    let wire = Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(wire).with_batch_size(rows.len()).with_coerce_primitive(true);
    let mut reader = reader.build_decoder().unwrap();
    for row in rows {
        reader.decode(row.as_bytes()).unwrap();
    }
    as_json(reader.flush().unwrap().unwrap().columns(), schema)
}

/// The values of columns, by the writer of `arrow-json`.
pub(super) fn as_json(columns: &[ArrayRef], schema: &Schema) -> Vec<Value> {
    let columns = schema.fields().iter().zip(columns).map(|(field, column)| {
        let wire = without_zone(field.data_type());
        (field.name(), arrow::compute::cast(column, &wire).unwrap(), true)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn conversations_are_read_as_arrow_json_reads_them() {
    use crate::sandbox::{Region, Settings};
    let settings = Settings { conversations_per_day: 300, ..Settings::default() };
    let region = Region::new(settings);
    let day: Interval = "2024-03-18T00:00:00Z/2024-03-19T00:00:00Z".parse().unwrap();
    let truth: Vec<u8> =
        region.truth(day.from_ms()..day.to_ms()).flat_map(|piece| piece.to_vec()).collect();
    let truth = String::from_utf8(truth).unwrap();
    let rows: Vec<_> =
        truth.lines().chain([&*CONVERSATION.replace('\n', " ")]).map(str::to_owned).collect();
    let body = format!(r#"{{"conversations": [{}]}}"#, rows.join(","));
    let all = Interval::new(0, i64::MAX).unwrap();
    let page = decode_by(conversations(), body.as_bytes(), all).unwrap();
    assert_eq!(page.batch.num_rows(), rows.len(), "{:?}", bad(&page));
    let rows: Vec<_> = rows.iter().map(String::as_str).collect();
    let expected = by_arrow(&conversations().schema, &rows);
    let mut read = as_json(page.batch.columns(), &conversations().schema);
    let new_field = read.last_mut().unwrap()["_extra"].take();
    assert_eq!(new_field, json!({ "fieldOfTomorrow": r#"{ "a": [1, { "b": null }] }"# }));
    for (read, expected) in read.iter().zip(&expected) {
        assert_eq!(read, expected);
    }
}

/// A text with each character escaped in one of the legal ways.
fn escaped(text: &str, ways: &[u8]) -> String {
    let mut json = String::from('"');
    for (at, one) in text.chars().enumerate() {
        let way = ways.get(at % ways.len().max(1)).copied().unwrap_or_default() % 4;
        let mut units = [0; 2];
        match (way, one) {
            (0, '"' | '\\') | (1, '"' | '\\' | '/') => json.extend(['\\', one]),
            (1, '\n') => json.push_str("\\n"),
            (1, '\t') => json.push_str("\\t"),
            (1, '\u{8}') => json.push_str("\\b"),
            (0 | 1, one) if one >= ' ' => json.push(one),
            (way, one) => {
                for unit in one.encode_utf16(&mut units) {
                    json += &match way {
                        2 => format!("\\u{unit:04X}"),
                        _ => format!("\\u{unit:04x}"),
                    };
                }
            }
        }
    }
    json.push('"');
    json
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_character_of_a_text_changes(
        texts in prop::collection::vec(
            (any::<String>(), "[\\x{20000}-\\x{10ffff}\\x{0}-\\x{1f}]{0,4}"),
            1..4,
        ),
        ways in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let texts: Vec<String> = texts.into_iter().map(|(one, other)| one + &other).collect();
        let rows: Vec<_> = texts.iter().map(|text| {
            let text = escaped(text, &ways);
            row(1, &format!(r#", "name": {text}, "notes": {{{text}: {text}}}"#))
        }).collect();
        let page = decode(&rows.join(","));
        prop_assert_eq!(page.batch.num_rows(), texts.len());
        let names = page.batch.column(2).as_string::<i32>();
        let notes = page.batch.column(5).as_map();
        let [keys, values] = [notes.keys(), notes.values()].map(|texts| texts.as_string::<i32>());
        for (at, (text, row)) in texts.iter().zip(&rows).enumerate() {
            let independent: Value = serde_json::from_str(row).unwrap();
            prop_assert_eq!(independent["name"].as_str(), Some(text.as_str()));
            for column in [names, keys, values] {
                prop_assert_eq!(column.value(at), text);
            }
        }
    }

    #[test]
    fn no_number_changes(integer in any::<i64>(), number in any::<f64>(), scale in 0usize..6) {
        let number = if number.is_finite() { number } else { 0.5 };
        let plain = format!("{integer}{}{}", if scale > 0 { "." } else { "" }, "0".repeat(scale));
        let rows = [
            row(&plain, &format!(r#", "score": {number}, "name": {number:?}"#)),
            row(format!("\"{integer}\""), &format!(r#", "score": "{number:e}""#)),
        ];
        let page = decode(&rows.join(","));
        prop_assert_eq!(ints(&page), [integer; 2]);
        let scores = page.batch.column(3).as_primitive::<Float64Type>();
        prop_assert_eq!(scores.values(), &[number; 2]);
        let name = format!("{number:?}");
        prop_assert_eq!(page.batch.column(2).as_string::<i32>().value(0), name);
    }
}
