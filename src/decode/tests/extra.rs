//! The values that fit no column.

use super::*;
use crate::{
    decode::drift::MAX_PATTERNS,
    server_text::{self, SecretKind},
};

/// What is kept of each row, as texts `path = json`.
fn extras(page: &Page) -> Vec<Vec<String>> {
    let column = page.batch.columns().last().unwrap().as_map();
    let entries = |row: usize| {
        let entries = column.value(row);
        let [paths, values] = [0, 1].map(|at| entries.column(at).as_string::<i32>());
        let texts = paths
            .iter()
            .zip(values)
            .map(|(path, value)| format!("{} = {}", path.unwrap(), value.unwrap()));
        texts.collect()
    };
    (0..column.len())
        .map(|row| if column.is_null(row) { Vec::new() } else { entries(row) })
        .collect()
}

/// What is counted, as texts.
fn drifts(page: &Page) -> Vec<String> {
    let text = |(pattern, field): (&str, &DriftedField)| {
        format!("{pattern}: {} {:?} {}", field.rows, field.kind, field.json_type)
    };
    page.drift.fields().map(text).collect()
}

#[test]
fn a_value_that_does_not_fit_costs_itself_and_is_kept_under_its_path() {
    let page = decode(
        &[
            row(1, r#", "name": {"a": 1}, "score": "1e400", "done": "maybe", "notes": [1], "legs": {}"#),
            row(2, r#", "legs": [{"seconds": 1.5, "codes": [7, "x", 8], "began": [ ]}, 5, {"seconds": 2}]"#),
            row(3, r#", "notes": {"a": "b", "a.b": {"c": [ 1 ]}, "": []}, "score": NaN"#),
            row(4, r#", "notes": {"a": "b", "a.b": {"c": [ 1 ]}, "": []}"#),
        ]
        .join(","),
    );
    assert_eq!((ints(&page), page.bad.len()), (vec![1, 2, 4], 1));
    assert_eq!(
        extras(&page),
        [
            vec![
                r#"name = {"a": 1}"#,
                r#"score = "1e400""#,
                r#"done = "maybe""#,
                "notes = [1]",
                "legs = {}"
            ],
            vec![
                "legs[0].seconds = 1.5",
                r#"legs[0].codes[1] = "x""#,
                "legs[0].began = [ ]",
                "legs[1] = 5"
            ],
            vec![r#"notes["a.b"] = {"c": [ 1 ]}"#, r#"notes[""] = []"#],
        ]
    );
    for column in 2..7 {
        assert!(page.batch.column(column).is_null(0), "{column}");
    }
    let legs = page.batch.column(6).as_list::<i32>().value(1);
    assert!(legs.is_null(1) && legs.as_struct().column(0).is_null(0));
    let codes = legs.as_struct().column(1).as_list::<i32>().value(0);
    let codes: Vec<_> = codes.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(codes, [Some(7), None, Some(8)]);
    let notes = page.batch.column(5).as_map().value(2);
    assert_eq!((notes.len(), notes.column(1).null_count()), (3, 2));
    let expected = [
        "done: 1 Misfit string",
        "legs: 1 Misfit object",
        "legs[]: 1 Misfit integer",
        "legs[].began: 1 Misfit list",
        "legs[].codes[]: 1 Misfit string",
        "legs[].seconds: 1 Misfit number",
        "name: 1 Misfit object",
        "notes: 1 Misfit list",
        "notes.*: 1 Misfit object",
        "score: 1 Misfit string",
    ];
    assert_eq!(drifts(&page), expected);
}

#[test]
fn a_field_without_a_column_is_kept_under_its_path() {
    let page = decode(
        &[
            row(1, r#", "new": "é\u00e9", "legs": [{"a b": {"x": [1,  2]}, "seconds": 1}, {"a b": null, "new": 1e3}]"#),
            row(2, ""),
            row(3, r#", "new": true, "nothing": null"#),
        ]
        .join(","),
    );
    assert_eq!(
        extras(&page),
        [
            vec![r#"new = "é\u00e9""#, r#"legs[0]["a b"] = {"x": [1,  2]}"#, "legs[1].new = 1e3"],
            vec![],
            vec!["new = true"],
        ]
    );
    assert!(page.batch.columns().last().unwrap().is_null(1), "null where everything fitted");
    let expected = [
        "legs[].new: 1 NewField number",
        r#"legs[]["a b"]: 1 NewField object"#,
        "new: 2 NewField string",
    ];
    assert_eq!(drifts(&page), expected);
}

#[test]
fn a_field_with_the_name_of_the_last_column_is_one_without_a_column() {
    assert_eq!(extras(&decode(&row(1, r#", "_extra": {"a": "b"}"#))), [[r#"_extra = {"a": "b"}"#]]);
}

#[test]
fn rows_that_are_not_in_the_batch_leave_no_drift() {
    let rows = [
        r#"{"no": 1, "at": 5000, "new": 1, "new": 2, "score": []}"#.to_owned(),
        row(2, ""),
        row(3, r#", "new": 1, "score": [], "no": {}"#),
        row(4, r#", "new": 1, "score": [], "name": x"#),
    ];
    let page = decode(&rows.join(","));
    assert_eq!((ints(&page), page.not_owned, page.bad.len()), (vec![2], 1, 2));
    assert_eq!((extras(&page), page.drift), (vec![vec![]], Drift::default()));
}

#[test]
fn keys_that_come_again_are_counted_and_leave_only_their_last_value() {
    let page = decode(
        &[
            row(1, r#", "name": "a", "name": "b", "score": [], "score": 1, "done": [1], "done": [2]"#),
            row(2, r#", "new": 1, "legs": [{"new": 1, "seconds": "x"}], "legs": [{"new": 2, "new": 3}], "new": 2"#),
            row(3, r#", "notes": {"a": "b", "a": "c"}, "name": null, "name": "x", "legs": [{"codes": []}, {"codes": []}]"#),
        ]
        .join(","),
    );
    assert_eq!(page.drift.duplicate_keys, 3 + 3 + 2);
    assert_eq!(extras(&page), [vec!["done = [2]"], vec!["legs[0].new = 3", "new = 2"], vec![]]);
}

#[test]
fn ignored_fields_are_neither_kept_nor_counted() {
    let mut dataset = dataset("calls").as_ref().clone();
    dataset.ignore = ["settings", "legs[].media", r#"legs[]["a b"]"#, "name", "legs[].codes.x"]
        .map(str::to_owned)
        .into();
    let rows = [
        row(
            1,
            r#", "settings": {"a": 1}, "legs": [{"media": 1, "a b": 2, "other": 3}], "media": 4, "name": "x""#,
        ),
        row(2, r#", "settings": 1, "settings": 2"#),
    ];
    let body = format!(r#"{{"data": {{"calls": [{}]}}}}"#, rows.join(","));
    let page = decode_by(&dataset, body.as_bytes(), Interval::day_of(0)).unwrap();
    assert_eq!(extras(&page), [vec!["legs[0].other = 3", "media = 4"], vec![]]);
    assert_eq!(page.batch.column(2).as_string::<i32>().value(0), "x", "columns are read");
    assert_eq!(page.drift.fields().len(), 2);
}

#[test]
fn new_fields_are_counted_where_they_are_dropped_and_misfits_are_kept() {
    let dataset = dataset("calls");
    let body = format!(r#"{{"data": {{"calls": [{}]}}}}"#, row(1, r#", "new": 1, "score": []"#));
    let reply = PageParser::new(dataset.endpoint(), Vec::new()).find(body.into()).unwrap();
    let decoder = Decoder::new(&dataset).dropping_new_fields();
    let page = decoder.decode(&reply, Interval::day_of(0)).unwrap();
    assert_eq!(extras(&page), [["score = []"]]);
    assert_eq!(drifts(&page), ["new: 1 NewField integer", "score: 1 Misfit list"]);
}

#[test]
fn g8_what_is_kept_of_a_row_is_bounded_by_its_bytes() {
    // paths that are much longer than the values
    let element = r#"{"x":1}"#;
    let legs = format!("[{}]", vec![element; 50_000].join(","));
    let page = decode(
        &[row(1, &format!(r#", "new": 1, "legs": {legs}"#)), row(2, r#", "new": 2"#)].join(","),
    );
    let kept = extras(&page);
    assert_eq!(
        kept,
        [vec!["new = 1".to_owned(), format!("legs = {legs}")], vec!["new = 2".to_owned()]]
    );
    assert_eq!(drifts(&page), ["legs[].x: 1 NewField integer", "new: 2 NewField integer"]);
    // and so many short fields that their places take more
    let fields: Vec<_> = (0..50_000).map(|n| format!(r#""{n}":1"#)).collect();
    let long = row(1, &format!(", {}", fields.join(",")));
    let page = decode(&[long.clone(), row(2, r#", "new": 2"#)].join(","));
    assert_eq!(extras(&page), [vec![format!("$ = {long}")], vec!["new = 2".to_owned()]]);
    assert_eq!(page.drift.fields().len(), MAX_PATTERNS);
    assert_eq!(page.drift.other_values, 49_000 + 1);
}

#[test]
fn a_value_of_an_alias_whose_column_has_another_is_kept() {
    let page = columns::page(
        "calls",
        &[],
        r#"{"no": 1, "at": 1, "queueName": "a", "queue": "b"}, {"no": 1, "at": 1, "queue": "b", "queueName": "c"},
           {"no": 1, "at": 1, "queueName": "a", "queue": null}, {"no": 1, "at": 1, "queueName": "d"}"#,
    );
    let kept = [vec![r#"queueName = "a""#], vec![r#"queueName = "c""#], vec![], vec![]];
    assert_eq!(extras(&page), kept);
}

#[test]
fn g10_a_secret_that_a_server_repeats_is_neither_kept_nor_counted() {
    server_text::protect(SecretKind::Token, "token-in-a-row-4711");
    let page =
        decode(&row(1, r#", "debug": "Bearer token-in-a-row-4711", "token-in-a-row-4711": 1"#));
    assert_eq!(extras(&page), [[r#"debug = "Bearer [secret]""#, "[secret] = 1"]]);
    assert_eq!(drifts(&page), ["[secret]: 1 NewField integer", "debug: 1 NewField string"]);
}

#[test]
fn g8_a_list_of_millions_of_nearly_empty_objects_takes_the_memory_of_its_json() {
    for element in ["null", "{}", r#"{"x":1}"#] {
        let list = format!("[{}]", vec![element; 1_000_000].join(","));
        let rows = [row(1, r#", "legs": [{}, null]"#), row(2, &format!(r#", "legs": {list}"#))];
        let page = decode(&rows.join(","));
        assert_eq!((ints(&page), page.bad.len()), (vec![1, 2], 0), "{element}");
        assert_eq!(extras(&page)[1], [format!("legs = {list}")], "{element}");
        let bytes = page.batch.get_array_memory_size();
        assert!(bytes < 2 * list.len() + (1 << 20), "{element}: {bytes}");
    }
}
