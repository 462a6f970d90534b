//! Aliases, special forms of values, and ids of several columns.

use arrow::array::Array;

use super::*;

const CATALOG: &str = r#"
[dataset.calls]
version = 1
id = ["queue", "group", "no"]
time = "at"
newest = "changed"
columns = "call"
aliases = { begin = "at", number = "no", queueName = "queue", people = "legs" }
query = { path = "/calls", rows = "", paging = "none" }

[dataset.days]
version = 1
id = ["queue", "no"]
time = "day"
columns = "day"
query = { path = "/days", rows = "", paging = "none", explode = ["data"] }

[type.call]
queue = "string"
group = "map"
no = "int64"
at = "timestamp(ms)"
changed = "timestamp(ms)"
done = "boolean"
legs = "list<string>"

[type.day]
queue = "string"
no = "int64"
day = "interval"
took = "duration"
"#;

/// Decodes rows of a dataset, for an interval that holds all of them.
pub(super) fn page(name: &str, fixed: &[(&str, &str)], rows: &str) -> Page {
    let dataset = Arc::clone(&catalog::read("test", CATALOG).unwrap().datasets[name]);
    let fixed =
        fixed.iter().map(|(column, text)| ((*column).to_owned(), (*text).to_owned())).collect();
    let reply =
        PageParser::new(dataset.endpoint(), fixed).find(format!("[{rows}]").into()).unwrap();
    Decoder::new(&dataset).decode(&reply, Interval::new(0, i64::MAX).unwrap()).unwrap()
}

fn texts(page: &Page, column: &str) -> Vec<Option<String>> {
    let column = page.batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

fn reasons(page: &Page) -> Vec<&str> {
    page.bad.iter().map(|bad| bad.reason).collect()
}

#[test]
fn a_column_is_read_by_its_name_or_its_alias_and_its_name_wins() {
    let page = page(
        "calls",
        &[],
        r#"{"queueName": "a", "begin": 1, "number": "7", "people": ["x"]},
           {"queue": "b", "queueName": "other", "at": 2, "begin": 9, "no": 8, "number": 9},
           {"queue": null, "queueName": "c", "at": null, "begin": 3, "legs": null, "people": []},
           {"queueName": "d"}, {"queueName": "e", "begin": 5, "number": 1.5, "queue": "f", "unknown": null}"#,
    );
    assert_eq!(texts(&page, "queue"), ["a", "b", "c"].map(|text| Some(text.to_owned())));
    assert_eq!(page.keys.iter().map(|key| key.time_ms).collect::<Vec<_>>(), [1, 2, 3]);
    let numbers = page.batch.column_by_name("no").unwrap().as_primitive::<Int64Type>();
    assert_eq!(numbers.iter().collect::<Vec<_>>(), [Some(7), Some(8), None]);
    let legs = page.batch.column_by_name("legs").unwrap().as_list::<i32>();
    assert_eq!((legs.value(0).len(), legs.is_null(1), legs.value(2).len()), (1, true, 0));
    let number = "`number` is not a 64-bit integer: 1.5";
    assert_eq!(reasons(&page), ["the row has no `at`", number]);
    assert_eq!(page.batch.num_columns(), 8, "an alias is not a column");
}

#[test]
fn a_duration_may_be_a_number_of_seconds_or_its_text() {
    let day = r#""day": "2024-01-01T00:00:00Z""#;
    let rows = format!(
        r#"{{"queue": "q", "data": [{{"no": 1, {day}, "took": "101"}}, {{"no": 2, {day}, "took": 101}},
            {{"no": 3, {day}, "took": 0.5}}, {{"no": 4, {day}, "took": "inf"}}]}}"#
    );
    let page = page("days", &[], &rows);
    let took = page.batch.column_by_name("took").unwrap().as_primitive::<Float64Type>();
    assert_eq!(took.iter().collect::<Vec<_>>(), [Some(101.0), Some(101.0), Some(0.5), None]);
}

#[test]
fn an_interval_is_read_as_its_start_and_a_duration_as_seconds() {
    let rows = r#"{"queue": "q", "data": [
        {"no": 1, "day": "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z", "took": "PT1H2M3.5S"},
        {"no": 2, "day": "2024-01-01T01:00:00+01:00/P1D", "took": "P1DT1S"},
        {"no": 3, "day": "2024-01-01T00:00:00Z", "took": "PT0S"},
        {"no": 4, "day": "2024-01-01T00:00:00Z/x", "took": null},
        {"no": 5, "day": "yesterday/today"}, {"no": 6, "day": "2024-01-01T00:00:00Z", "took": "soon"},
        {"no": 7}]}"#;
    let page = page("days", &[], rows);
    assert_eq!(page.keys.iter().map(|key| key.time_ms).collect::<Vec<_>>(), [1_704_067_200_000; 5]);
    let took = page.batch.column_by_name("took").unwrap().as_primitive::<Float64Type>();
    let expected = [Some(3_723.5), Some(86_401.0), Some(0.0), None, None];
    assert_eq!(took.iter().collect::<Vec<_>>(), expected);
    let expected = [
        "`day` is not an interval such as `2024-01-01T00:00:00Z/P1D`: \"yesterday/today\"",
        "the row has no `day`",
    ];
    assert_eq!(reasons(&page), expected);
}

#[test]
fn fields_of_an_element_and_fixed_columns_override_those_of_the_item() {
    let rows = r#"{"queue": "item", "no": 1, "data": [{"queue": "element", "day": "1970-01-02T00:00:00Z"}, {"no": 2}]}"#;
    let page = page("days", &[("day", "2024-01-01T00:00:00Z")], rows);
    assert_eq!(texts(&page, "queue"), ["element", "item"].map(|text| Some(text.to_owned())));
    assert_eq!(ints_of(&page), [1, 2]);
    assert_eq!(page.keys.iter().map(|key| key.time_ms).collect::<Vec<_>>(), [1_704_067_200_000; 2]);
}

fn ints_of(page: &Page) -> Vec<i64> {
    page.batch.column_by_name("no").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn a_boolean_may_be_a_string() {
    let row = |done: &str| format!(r#"{{"no": 1, "at": 1, "done": {done}}}"#);
    let rows = [
        "true",
        "\"True\"",
        "\"false\"",
        "false",
        "null",
        "\" TRUE \"",
        "\"yes\"",
        "1",
        "\"\"",
        "2",
        "[]",
    ]
    .map(row);
    let page = page("calls", &[], &rows.join(","));
    let done = page.batch.column_by_name("done").unwrap().as_boolean().iter().collect::<Vec<_>>();
    let [yes, no] = [true, false].map(Some);
    assert_eq!(done, [yes, yes, no, no, None, yes, None, yes, None, None, None]);
    assert_eq!(page.drift.fields().next().unwrap().1.rows, 3);
}

#[test]
fn an_id_of_several_columns_may_have_nulls_but_not_only_nulls() {
    let ids =
        |rows: &str| page("calls", &[], rows).keys.iter().map(|key| key.id).collect::<Vec<_>>();
    let same = ids(
        r#"{"at": 1, "queue": "q", "group": {"a": "1", "b": "2"}}, {"at": 2, "group": {"b": "2", "a": "1"}, "queue": "q"},
           {"at": 3, "queueName": "q", "group": {"a": 1, "b": 2}, "no": null}"#,
    );
    assert_eq!(same, [same[0]; 3]);
    let other = ids(
        r#"{"at": 1, "queue": "q"}, {"at": 1, "no": 5}, {"at": 1, "queue": "5"}, {"at": 1, "group": {}},
           {"at": 1, "group": {"q": "5"}}, {"at": 1, "group": {"q": null}}, {"at": 1, "queue": "q", "no": 5},
           {"at": 1, "group": {"a": "1, b: 2"}}, {"at": 1, "group": {"a": "1", "b": "2"}}"#,
    );
    assert_eq!(other.iter().collect::<std::collections::HashSet<_>>().len(), 9);
    let none = page(
        "calls",
        &[],
        r#"{"at": 1}, {"at": 1, "queue": null, "group": null, "no": null}, {"at": 1, "queue": ""}"#,
    );
    assert_eq!(reasons(&none), ["the row has an empty `queue, group, no`"; 3]);
}

#[test]
fn the_version_of_a_copy_is_its_newest_column() {
    let page = page("calls", &[], r#"{"no": 1, "at": 1, "changed": 5}, {"no": 1, "at": 1}"#);
    assert_eq!(page.keys.iter().map(|key| key.version).collect::<Vec<_>>(), [5_000, i64::MIN]);
}
