//! Every row is somewhere, and every value of a row is in a column or in `_extra`, as a walk over
//! the row by `serde_json` says.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::{oracle::as_json, *};

/// Any value, often of another type than its column.
fn any_value(rng: &mut Rng, depth: usize) -> Value {
    let simple = [
        json!(null),
        json!(""),
        json!(" "),
        json!("x"),
        json!("7"),
        json!(7),
        json!(-0.5),
        json!(7.0),
        json!(1e300),
        json!(true),
        json!("FALSE"),
        json!(0),
        json!([]),
        json!({}),
        json!("\u{20bb7}é\n"),
        json!(u64::MAX),
        json!("2024-01-01T00:00:00Z"),
    ];
    match rng.u8(..if depth == 0 { 6 } else { 9 }) {
        6 => (0..rng.usize(..4)).map(|_| any_value(rng, depth - 1)).collect(),
        7 => any_leg(rng, depth - 1),
        8 => {
            let keys = ["a", "a b", "a.b", "", "codes"];
            let entry = |_| ((*rng.choice(&keys).unwrap()).to_owned(), any_value(rng, depth - 1));
            Value::Object((0..3).map(entry).collect())
        }
        _ => rng.choice(&simple).unwrap().clone(),
    }
}

fn any_leg(rng: &mut Rng, depth: usize) -> Value {
    let keys = ["seconds", "codes", "began", "new", "not known"];
    let mut leg = Map::new();
    for key in keys {
        if rng.bool() {
            leg.insert(key.to_owned(), any_value(rng, depth.min(2)));
        }
    }
    Value::Object(leg)
}

/// Asserts that a value is stored, or kept under its path.
fn check(received: &Value, stored: &Value, path: &str, extra: &BTreeMap<String, Value>) {
    let is_blank = |value: &Value| value.as_str().is_some_and(|text| text.trim().is_empty());
    if let Some(kept) = extra.get(path) {
        assert_eq!((kept, stored), (received, &Value::Null), "{path}");
        return;
    }
    match (received, stored) {
        (Value::Null, stored) => assert!(stored.is_null(), "{path}"),
        (Value::Object(fields), Value::Object(columns)) => {
            for (key, value) in fields {
                let is_plain = !key.is_empty() && key.chars().all(char::is_alphanumeric);
                let separator = if path.is_empty() { "" } else { "." };
                let path = match is_plain {
                    true => format!("{path}{separator}{key}"),
                    false => format!("{path}[{}]", json!(key)),
                };
                check(value, columns.get(key).unwrap_or(&Value::Null), &path, extra);
            }
        }
        (Value::Array(received), Value::Array(stored)) => {
            assert_eq!(received.len(), stored.len(), "{path}");
            for (at, (received, stored)) in received.iter().zip(stored).enumerate() {
                check(received, stored, &format!("{path}[{at}]"), extra);
            }
        }
        (received, Value::Null) => assert!(is_blank(received) || *received == json!([]), "{path}"),
        (received, stored) => assert!(is_same(received, stored), "{path}: {received} {stored}"),
    }
}

/// Whether a stored scalar has the value of the one received.
fn is_same(received: &Value, stored: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (received, stored) = (text(received), text(stored));
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let is_time = received.starts_with("2024-01-01T") && stored.starts_with("2024-01-01T");
    let is_boolean = matches!((&*received, &*stored), ("0", "false") | ("1", "true"));
    received.eq_ignore_ascii_case(&stored)
        || number(&received).is_some_and(|value| number(&stored) == Some(value))
        || is_time
        || is_boolean
}

#[test]
fn g5_every_value_of_a_row_is_in_a_column_or_kept_under_its_path() {
    let mut rng = Rng::with_seed(5);
    let dataset = dataset("calls");
    let mut kept = 0;
    for _ in 0..400 {
        let mut rows = Vec::new();
        for no in 0..10 {
            let mut row = Map::new();
            for key in ["name", "score", "done", "notes", "legs", "new", "not known"] {
                let value = match (key, rng.u8(..4)) {
                    ("legs", 1..) => (0..3).map(|_| any_leg(&mut rng, 2)).collect(),
                    _ => any_value(&mut rng, 3),
                };
                row.insert(key.to_owned(), value);
            }
            let is_good = rng.u8(..8) > 0;
            let no = if is_good { json!(no) } else { any_value(&mut rng, 1) };
            row.insert("no".to_owned(), no);
            row.insert("at".to_owned(), json!("2024-01-01T00:00:00Z"));
            rows.push((Value::Object(row), is_good));
        }
        rows.push((any_value(&mut rng, 1), false));
        let texts: Vec<_> = rows.iter().map(|(row, _)| row.to_string()).collect();
        let body = format!(r#"{{"data": {{"calls": [{}]}}}}"#, texts.join(", "));
        let owner = "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z".parse().unwrap();
        let page = decode_by(&dataset, body.as_bytes(), owner).unwrap();
        assert_eq!(page.received, rows.len() as u64);
        assert_eq!(page.batch.num_rows() + page.bad.len(), rows.len());
        let bad: Vec<_> = page.bad.iter().map(|row| row.raw.to_vec()).collect();
        let in_batch =
            rows.iter().zip(&texts).filter(|(_, text)| !bad.contains(&text.as_bytes().to_vec()));
        assert!(
            rows.iter().zip(&texts).all(|((_, is_good), text)| {
                !is_good || !bad.contains(&text.as_bytes().to_vec())
            })
        );
        let mut drifted = 0;
        let read = as_json(page.batch.columns(), &dataset.schema);
        for (((received, _), _), mut stored) in in_batch.zip(read) {
            let extra = match stored["_extra"].take() {
                Value::Object(entries) => entries,
                _ => Map::new(),
            };
            let value = |text: &Value| serde_json::from_str(text.as_str().unwrap()).unwrap();
            let extra: BTreeMap<_, _> =
                extra.iter().map(|(path, text)| (path.clone(), value(text))).collect();
            drifted += extra.len();
            check(received, &stored, "", &extra);
        }
        assert_eq!(page.drift.fields().len() > 0, drifted > 0);
        kept += drifted;
    }
    assert!(kept > 10_000, "{kept}");
}
