//! Every form in which APIs write a value, in every type of column, at the top of a row, in a type,
//! in lists and in maps: fetched by the real program, read back by independent readers.

use std::process::Command;

use serde_json::{Value, json};

use crate::common::{
    binary::{CREDENTIALS, program, set},
    reader::python,
    stub_transport::{Stub, serve},
};

const CATALOG: &str = r#"
[dataset.forms]
version = 1
id = "id"
time = "at"
columns = "row"
query = { path = "/v1/forms", rows = "/rows", paging = "none" }

[type.row]
id = "int64"
at = "timestamp"
value = "values"
list = "list<values>"
seconds = "list<timestamp(s)>"
lasted = "list<list<duration>>"

[type.values]
text = "string"
flag = "boolean"
count = "int64"
score = "double"
time = "timestamp"
s = "timestamp(s)"
ms = "timestamp(ms)"
us = "timestamp(us)"
day = "interval"
took = "duration"
notes = "map"
inner = "inner"
flags = "list<boolean>"
counts = "list<int64>"
scores = "list<double>"
times = "list<timestamp>"

[type.inner]
at = "timestamp(us)"
"#;

/// Values as an API writes them, and as they are stored.
fn values() -> Vec<[Value; 2]> {
    let ten = "2024-01-01T10:00:00.000000Z";
    // those without a zone are of Berlin
    let nine = "2024-01-01T09:00:00.000000Z";
    let precise = "2024-01-01T10:00:00.123456Z";
    vec![
        [
            json!({
                "text": 7, "flag": 1, "count": "12", "score": "1.5", "time": "2024-01-01T12:00:00+02:00",
                "s": 1704103200, "ms": 1704103200123u64, "us": 1704103200123456u64,
                "day": "2024-01-01T10:00:00Z/P1D", "took": "PT1M30.5S", "notes": {"a": 1, "b": true, "c": "x"},
                "inner": {"at": 1704103200123456u64}, "flags": [0, "TRUE", "false", true],
                "counts": ["12", 12.0, "-3"], "scores": ["1e3", 2, ".5"], "times": [1704103200123u64, "2024-01-01T10:00Z"]
            }),
            json!({
                "text": "7", "flag": true, "count": 12, "score": 1.5, "time": ten,
                "s": ten, "ms": "2024-01-01T10:00:00.123000Z", "us": precise, "day": ten, "took": 90.5,
                "notes": {"a": "1", "b": "true", "c": "x"}, "inner": {"at": precise},
                "flags": [false, true, false, true], "counts": [12, 12, -3], "scores": [1000.0, 2.0, 0.5],
                "times": ["2024-01-01T10:00:00.123000Z", ten]
            }),
        ],
        [
            json!({
                "text": true, "flag": "False", "count": 12.0, "score": 3, "time": "20240101T100000Z",
                "s": "1704103200.123456", "ms": "2024-01-01T10:00:00.123456789Z", "us": "2024-01-01T10:00:00",
                "day": "2024-01-01T10:00:00/2024-01-02T10:00:00", "took": 101, "notes": [], "inner": [],
                "flags": [], "times": ["2024-01-01 10:00:00", "2024-07-01T10:00", "2024-01-01"]
            }),
            json!({
                "text": "true", "flag": false, "count": 12, "score": 3.0, "time": ten,
                "s": precise, "ms": precise, "us": nine, "day": nine, "took": 101.0, "flags": [],
                "times": [nine, "2024-07-01T08:00:00.000000Z", "2023-12-31T23:00:00.000000Z"]
            }),
        ],
        [
            json!({
                "text": "", "flag": "", "count": "", "score": "", "time": "", "s": "", "ms": "", "us": "",
                "day": "", "took": "", "notes": "", "inner": "", "flags": "", "counts": [null, ""]
            }),
            json!({ "text": "", "counts": [null, null] }),
        ],
        [
            json!({ "count": "1000000000000000000", "time": "2024-01-01T10:00:00.123456Z", "took": "101.25" }),
            json!({ "count": 1000000000000000000u64, "time": precise, "took": 101.25 }),
        ],
    ]
}

/// The columns of `[type.values]`, null where `stored` has none.
fn complete(stored: &Value) -> Value {
    let columns = [
        "text", "flag", "count", "score", "time", "s", "ms", "us", "day", "took", "notes", "inner",
        "flags", "counts", "scores", "times",
    ];
    columns.iter().map(|column| ((*column).to_owned(), stored[column].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_read_in_every_column_type_nested_and_in_lists_and_maps() {
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for (id, [wire, stored]) in (1..).zip(values()) {
        sent.push(json!({
            "id": id, "at": "2024-01-01T10:00:00.000001Z", "value": wire, "list": [wire, null],
            "seconds": [1704103200, "1704103200.5"], "lasted": [["PT1M", 2, "3.5"], []]
        }));
        let stored = complete(&stored);
        expected.push(json!({
            "id": id, "at": "2024-01-01T10:00:00.000001Z", "value": stored, "list": [stored, null],
            "seconds": ["2024-01-01T10:00:00.000000Z", "2024-01-01T10:00:00.500000Z"],
            "lasted": [[60.0, 2.0, 3.5], []], "_extra": null
        }));
    }
    // what fits no form is null, and kept as it came
    let misfits = [
        ("count", "12345678901234567890"),
        ("count", "1e400"),
        ("score", "1e400"),
        ("score", "\"NaN\""),
        ("score", "\"Infinity\""),
        ("flag", "2"),
        ("time", "1704103200"),
        ("time", "0"),
        ("time", "4102444800000"),
        ("s", "\"yesterday\""),
        ("ms", "1e30"),
        ("took", "\"soon\""),
        ("day", "1704103200"),
    ];
    let mut body = sent.iter().map(Value::to_string).collect::<Vec<_>>();
    for (id, (column, value)) in (100..).zip(misfits) {
        body.push(format!(
            r#"{{"id": {id}, "at": "2024-01-01T10:00:00Z", "value": {{"{column}": {value}}}}}"#
        ));
        let extra = [(format!("value.{column}"), Value::from(value))].into_iter();
        expected.push(json!({
            "id": id, "at": "2024-01-01T10:00:00.000000Z", "value": complete(&json!({})),
            "_extra": extra.collect::<serde_json::Map<_, _>>()
        }));
    }
    let body = format!(r#"{{"rows": [{}]}}"#, body.join(","));

    let (stub, folder) =
        (Stub::new("/oauth/token", move |_| (200, body.clone())), tempfile::tempdir().unwrap());
    let host = serve(&stub).await;
    std::fs::write(folder.path().join("forms.toml"), CATALOG).unwrap();
    let config = format!(
        "[job]\nfrom = '2024-01-01T00:00:00Z'\nto = '2024-01-02T00:00:00Z'\ndatasets = ['forms']\n\
         [source]\nplatform = 'custom'\ncatalog = 'forms.toml'\napi_url = '{host}'\n\
         timezone = 'Europe/Berlin'\n[auth]\ntoken_url = '{host}/oauth/token'\n\
         [budget]\nrequests = 0\n"
    );
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    let mut run = program(folder.path(), &["run"]);
    let run = set(&mut run, &CREDENTIALS).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));

    let Some(python) = python() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forms.py");
    let compared = Command::new(python)
        .arg(script)
        .arg(folder.path().join("out/forms"))
        .arg(Value::from(expected).to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&compared.stdout);
    let errors = String::from_utf8_lossy(&compared.stderr);
    assert_eq!(said, "pyarrow: equal\nduckdb: equal\npolars: equal\n", "{errors}");
}
