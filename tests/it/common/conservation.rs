//! Conservation within a row: every value that the platform sent is in a column or in `_extra`.

use arrow::{
    array::{Array, AsArray, StructArray},
    datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType},
    record_batch::RecordBatch,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Compares a row of the output with the row that the platform sent, and with the same row without
/// drift, which says what a value in another form means. Returns what is lost or made up.
pub fn violations(stored: &RecordBatch, drifted: &Value, plain: &Value) -> Vec<String> {
    let mut stored = value_of(&StructArray::from(stored.clone()), 0).unwrap();
    let extra = match stored.as_object_mut().unwrap().remove("_extra") {
        Some(Value::Object(extra)) => extra,
        _ => Map::new(),
    };
    let mut check = Check { extra, violations: Vec::new() };
    check.value("", drifted, Some(plain), Some(&stored));
    for path in check.extra.keys() {
        check.violations.push(format!("{path} is in _extra and not in the row"));
    }
    check.violations
}

/// What is left of `_extra`, and what was found.
struct Check {
    extra: Map<String, Value>,
    violations: Vec<String>,
}

impl Check {
    fn value(
        &mut self,
        path: &str,
        drifted: &Value,
        plain: Option<&Value>,
        stored: Option<&Value>,
    ) {
        if let Some(kept) = self.extra.remove(path) {
            let kept: Value = serde_json::from_str(kept.as_str().unwrap()).unwrap();
            self.expect(kept == *drifted, path, drifted, "is another value in _extra");
            self.expect(stored.is_none(), path, drifted, "is in _extra and in its column");
            return;
        }
        match (drifted, plain, stored) {
            (Value::Object(fields), Some(Value::Object(plain)), Some(Value::Object(stored))) => {
                for (name, value) in fields {
                    self.value(&join(path, name), value, plain.get(name), stored.get(name));
                }
            }
            (Value::Array(elements), Some(Value::Array(plain)), Some(Value::Array(stored))) => {
                let is_whole = elements.len() == stored.len();
                self.expect(is_whole, path, drifted, "has lost elements");
                for (index, value) in elements.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.value(&path, value, plain.get(index), stored.get(index));
                }
            }
            (_, Some(plain), Some(stored)) => {
                self.expect(means_same(stored, plain), path, drifted, "has become another value");
            }
            (_, None, _) => {
                let is_nothing = drifted == "" || *drifted == Value::Array(vec![]);
                let is_stored = stored.is_some_and(|stored| *stored != Value::Array(vec![]));
                self.expect(is_nothing && !is_stored, path, drifted, "is lost or made up");
            }
            (_, Some(_), None) => {
                let is_nothing = *drifted == Value::Array(vec![]);
                self.expect(is_nothing, path, drifted, "is lost");
            }
        }
    }

    fn expect(&mut self, holds: bool, path: &str, value: &Value, what: &str) {
        if !holds {
            self.violations.push(format!("{path}: {value} {what}"));
        }
    }
}

/// A value of a column as JSON, without keys of null. `None` if it is null.
fn value_of(column: &dyn Array, row: usize) -> Option<Value> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            let present = columns
                .filter_map(|(field, column)| Some((field.name().clone(), value_of(column, row)?)));
            Value::Object(present.collect())
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            (0..list.len()).map(|at| value_of(&list, at).unwrap_or_default()).collect()
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let texts = entries.columns().iter().map(|texts| texts.as_string::<i32>());
            let [keys, values] = texts.collect::<Vec<_>>()[..] else { panic!("not a map") };
            let entries = keys.iter().flatten().zip(values);
            entries.map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
        }
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Timestamp(..) => {
            let us = column.as_primitive::<TimestampMicrosecondType>().value(row);
            Timestamp::from_microsecond(us).unwrap().to_string().into()
        }
        _ => column.as_string::<i32>().value(row).into(),
    })
}

fn means_same(stored: &Value, plain: &Value) -> bool {
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match (stored.as_f64(), plain.as_f64(), time(stored), time(plain)) {
        // parsing rounds the last digit
        (Some(stored), Some(plain), ..) => (stored - plain).abs() <= plain.abs() * 1e-14,
        (_, _, Some(stored), Some(plain)) => stored == plain,
        _ => stored == plain,
    }
}

/// The path of a field.
fn join(path: &str, name: &str) -> String {
    let is_word = name.chars().all(|c| c.is_alphanumeric() || "_-$@:".contains(c));
    match (path, is_word && !name.is_empty()) {
        (_, false) => format!("{path}[{}]", Value::from(name)),
        ("", true) => name.to_owned(),
        (_, true) => format!("{path}.{name}"),
    }
}
