use std::time::Duration;

use arrow::datatypes::{DataType, Field};
use http::Method;
use serde_json::json;

use super::*;
use crate::catalog::{
    endpoint::TotalAccuracy,
    schema::{map, timestamp},
};

mod entity;
mod limits;
mod requested_interval;

const DAY: Duration = Duration::from_secs(86_400);

/// A valid catalog, which tests make invalid in one place.
const VALID: &str = r#"
[dataset.calls]
version = 1
id = "no"
time = "at"
columns = "call"

[dataset.calls.query]
method = "GET"
path = "/calls"
query = { page = "{page}" }
rows = "/data/calls"
paging = "page-number"
widest = "12h"
page_size = 500

[type.call]
no = "int64"
at = "timestamp"
tags = "list<list<string>>"
legs = "list<leg>"
notes = "map"

[type.leg]
score = "double"
"#;

/// The error after one change to the valid catalog.
fn error_of(from: &str, to: &str) -> String {
    assert!(VALID.contains(from), "{from}");
    read("own.toml", &VALID.replacen(from, to, 1)).unwrap_err().to_string()
}

fn conversations() -> &'static Dataset {
    &builtin("genesys-cloud").unwrap().datasets["conversations"]
}

#[test]
fn the_built_in_catalog_is_valid() {
    let dataset = conversations();
    assert_eq!((dataset.name.as_str(), dataset.version), ("conversations", 2));
    let endpoint = dataset.endpoint();
    assert_eq!(
        (&endpoint.request.method, endpoint.request.path().as_str()),
        (&Method::POST, "/api/v2/analytics/conversations/details/query")
    );
    assert_eq!(endpoint.widest, [7 * DAY, 31 * DAY]);
    assert_eq!((endpoint.page_size, endpoint.depth), (100, 100_000));
    assert!(builtin("teapot").is_none());
}

#[test]
fn the_columns_keep_the_order_of_the_file_and_only_id_and_time_are_never_null() {
    let fields = conversations().schema.fields();
    let names: Vec<_> = fields.iter().take(3).map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["conversationId", "conversationStart", "conversationEnd"]);
    assert_eq!(fields[fields.len() - 2].name(), "participants");
    assert_eq!(fields.last().unwrap().name(), EXTRA);
    let never_null: Vec<_> =
        fields.iter().filter(|f| !f.is_nullable()).map(|f| f.name().as_str()).collect();
    assert_eq!(never_null, ["conversationId", "conversationStart"]);
}

#[test]
fn nested_types_become_lists_of_structs() {
    let dataset = &read("own.toml", VALID).unwrap().datasets["calls"];
    let leg = DataType::Struct(vec![Field::new("score", DataType::Float64, true)].into());
    let list = |inner| DataType::List(Field::new("element", inner, true).into());
    assert_eq!(*dataset.schema.field(3).data_type(), list(leg));
    assert_eq!(*dataset.schema.field(2).data_type(), list(list(DataType::Utf8)));
    assert_eq!((dataset.endpoint().depth, dataset.endpoint().widest), (u64::MAX, [DAY / 2; 2]));
}

#[test]
fn a_body_holds_the_template_and_the_filter_and_the_template_wins() {
    let interval = "2024-01-01T00:00:00Z/2024-01-08T00:00:00Z".parse().unwrap();
    let filter =
        json!({ "segmentFilters": [{ "type": "and", "value": "{page}" }], "order": "desc" });
    let values =
        PlaceholderValues { page: 7, page_size: 50, ..PlaceholderValues::bare(interval, "") };
    let request =
        conversations().endpoint().request.fill_filtered(&values, filter.as_object().unwrap());
    let expected = json!({
        "interval": "2024-01-01T00:00:00.000Z/2024-01-08T00:00:00.000Z",
        "order": "asc",
        "orderBy": "conversationStart",
        "paging": { "pageSize": 50, "pageNumber": 7 },
        "segmentFilters": [{ "type": "and", "value": "{page}" }],
    });
    assert_eq!(request.body, Some(expected));
    assert_eq!(
        conversations().endpoint().reserved_keys().collect::<Vec<_>>(),
        ["interval", "order", "orderBy", "paging"]
    );
}

#[test]
fn an_error_names_the_file_and_the_key() {
    for (from, to, expected) in [
        ("version = 1", "version = 0", "dataset.calls.version: the first version is 1"),
        (
            "version = 1",
            "version = -1",
            "dataset.calls.version: invalid value: integer `-1`, expected u32",
        ),
        (
            "\"GET\"",
            "\"get\"",
            "dataset.calls.query.method: `get` is not a valid method: expected GET, POST or DELETE",
        ),
        (
            "\"/calls\"",
            "\"https://x/\"",
            "dataset.calls.query.path: `https://x/` is not a valid path: expected one slash at the beginning and \
             no host",
        ),
        (
            "\"/calls\"",
            "\"//x/\"",
            "dataset.calls.query.path: `//x/` is not a valid path: expected one slash at the beginning and \
             no host",
        ),
        (
            "\"/calls\"",
            "'/\\x/'",
            "dataset.calls.query.path: `/\\\\x/` is not a valid path: expected one slash at the beginning and \
             no host",
        ),
        (
            "\"/calls\"",
            "\"/\\t/x/\"",
            "dataset.calls.query.path: `/\\t/x/` is not a valid path: expected one slash at the beginning and \
             no host",
        ),
        (
            "id = \"no\"",
            "id = \"nr\"",
            "dataset.calls.id: does not name a column that is a string or an int64",
        ),
        (
            "id = \"no\"",
            "id = \"legs\"",
            "dataset.calls.id: does not name a column that is a string or an int64",
        ),
        ("id = \"no\"", "", "dataset.calls: missing field `id`"),
        (
            "id = \"no\"",
            "id = [\"no\", \"nr\"]",
            "dataset.calls.id: names a column that does not exist, or one that contains times",
        ),
        (
            "time = \"at\"",
            "time = \"no\"",
            "dataset.calls.time: does not name a column that is a timestamp",
        ),
        (
            "\"12h\"",
            "\"0h\"",
            "dataset.calls.query.widest: invalid duration `0h`: expected a number above zero with a unit, \
             such as `7d`",
        ),
        (
            "\"12h\"",
            "\"-1d\"",
            "dataset.calls.query.widest: invalid duration `-1d`: expected a number above zero with a unit, \
             such as `7d`",
        ),
        (
            "\"12h\"",
            "\"1 month\"",
            "dataset.calls.query.widest: invalid duration `1 month`: expected a number above zero with a unit, \
             such as `7d`",
        ),
        ("500", "0", "dataset.calls.query.page_size: must be at least 1"),
        (
            "time = \"at\"",
            "time = \"at\"\nopen = \"ended\"",
            "dataset.calls.open: names a column that does not exist",
        ),
        (
            "page_size = 500",
            "page_size = 500\ntotal_is = \"exact\"",
            "dataset.calls.query.total_is: there is no total: say where the response has it (`total`), \
             or leave this out",
        ),
        ("\"call\"", "\"cal\"", "dataset.calls.columns: there is no such type in this file"),
        (
            "\"list<leg>\"",
            "\"list<log>\"",
            "type.call.legs: `log` is neither a column type nor a type of this file",
        ),
        (
            "\"list<leg>\"",
            "\"list<leg\"",
            "type.call.legs: `list<leg` is neither a column type nor a type of this file",
        ),
        ("\"double\"", "\"list<call>\"", "type.call: the type contains itself: call → leg → call"),
        ("score = \"double\"", "", "type.leg: a type needs at least one column"),
        (
            "score = \"double\"",
            "score = 1",
            "type.leg.score: invalid type: integer `1`, expected a string, or a list of names for \
             `ignore`",
        ),
        ("notes = \"map\"", "notes = \"map\"\nno = \"map\"", "line 23: duplicate key"),
    ] {
        assert_eq!(error_of(from, to), format!("own.toml: {expected}"));
    }
    let unknown = error_of("page_size", "pagesize");
    assert!(
        unknown.starts_with(
            "own.toml: dataset.calls.query.pagesize: unknown field `pagesize`, expected one of"
        ),
        "{unknown}"
    );
    let placeholder = error_of("{page}", "{pag}");
    assert!(
        placeholder
            .starts_with("own.toml: dataset.calls.query.query.page: `{pag}` is not a placeholder"),
        "{placeholder}"
    );
}

#[test]
fn a_dataset_may_lack_columns_until_they_are_inferred() {
    let bare =
        VALID.replacen("columns = \"call\"", "aliases = { begun = \"at\", of = \"owner\" }", 1);
    let dataset = &read("own.toml", &bare).unwrap().datasets["calls"];
    let columns: Vec<_> = dataset
        .schema
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.data_type()))
        .collect();
    let (text, time) = (&DataType::Utf8, &timestamp());
    assert_eq!(
        (dataset.has_columns, columns),
        (false, vec![("at", time), ("no", text), ("owner", text), (EXTRA, &map())])
    );
}

#[test]
fn every_built_in_catalog_is_valid_and_its_datasets_have_an_endpoint() {
    for platform in PLATFORMS {
        let catalog = builtin(platform).unwrap();
        assert!(catalog.datasets.len() > 10, "{platform}");
        assert!(catalog.datasets.values().all(|dataset| dataset.endpoints().count() > 0));
    }
}

#[test]
fn an_alias_is_not_a_column() {
    let with = |aliases: &str| {
        error_of("columns = \"call\"", &format!("columns = \"call\"\naliases = {aliases}"))
    };
    assert_eq!(
        with("{ number = 'nr' }"),
        "own.toml: dataset.calls.aliases: names a column that does not exist"
    );
    assert_eq!(
        with("{ legs = 'notes' }"),
        "own.toml: dataset.calls.aliases: an alias is the name of another column"
    );
}

#[test]
fn a_parent_dataset_has_a_query_without_a_parent() {
    let read_with_parent = |dataset: &str, more: &str| {
        let query = "query = { page = \"{page}\" }";
        let with_parent = format!(
            "query = {{ page = '{{page}}', q = '{{each}}' }}\neach = {{ dataset = '{dataset}', column = 'no' }}"
        );
        read("own.toml", &format!("{}\n{more}", VALID.replacen(query, &with_parent, 1)))
    };
    let queues = "[dataset.queues]\nversion = 1\nid = 'no'\ntime = 'at'\ncolumns = 'call'\n";
    let query = "query = { path = '/queues', rows = '', paging = 'none' }";
    assert!(read_with_parent("queues", &format!("{queues}{query}")).is_ok());
    let message = |error: CatalogError| error.to_string();
    let missing = message(read_with_parent("queues", "").unwrap_err());
    assert_eq!(
        missing,
        "own.toml: dataset.calls.query.each: there is no dataset `queues` in this file"
    );
    let itself = message(read_with_parent("calls", "").unwrap_err());
    assert_eq!(
        itself,
        "own.toml: dataset.calls.query.each: `calls` cannot be a parent: it has no query, or one with a parent of its own"
    );
}

#[test]
fn rows_are_unordered_unless_the_catalog_says_otherwise() {
    let ordered = |text: &str| read("own.toml", text).unwrap().datasets["calls"].endpoint().ordered;
    assert!(!ordered(VALID));
    assert!(ordered(&VALID.replace("widest = ", "ordered = true\nwidest = ")));
}

#[test]
fn a_total_is_a_hint_unless_the_catalog_says_exact() {
    let total_is =
        |text: &str| read("own.toml", text).unwrap().datasets["calls"].endpoint().total_is;
    let with_total = VALID.replace("widest = ", "total = '/count'\nwidest = ");
    assert_eq!([VALID, &with_total].map(total_is), [TotalAccuracy::Hint; 2]);
    let exact = with_total.replace("widest = ", "total_is = 'exact'\nwidest = ");
    assert_eq!(total_is(&exact), TotalAccuracy::Exact);
    assert_eq!(conversations().endpoint().total_is, TotalAccuracy::Hint);
    let contacts = &builtin("nice-cxone").unwrap().datasets["contacts"];
    assert_eq!(contacts.endpoint().total_is, TotalAccuracy::Exact);
}

#[test]
fn only_pages_with_numbers_or_offsets_can_end_with_a_short_one() {
    let short = VALID.replace("widest = ", "short_page_is_last = true\nwidest = ");
    assert!(read("own.toml", &short).unwrap().datasets["calls"].endpoint().short_page_is_last);
    let linked = short.replace("paging = \"page-number\"", "paging = \"link-header\"");
    let expected = "own.toml: dataset.calls.query.short_page_is_last: only pages with numbers or offsets end so";
    let error = read("own.toml", &linked).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn the_open_column_of_a_dataset_is_one_of_its_columns() {
    assert_eq!(conversations().open.as_deref(), Some("conversationEnd"));
    let own = VALID.replace("time = \"at\"", "time = \"at\"\nopen = \"notes\"");
    let dataset = &read("own.toml", &own).unwrap().datasets["calls"];
    assert_eq!(dataset.open.as_deref(), Some("notes"));
    let bare = own.replace("columns = \"call\"", "");
    let dataset = &read("own.toml", &bare).unwrap().datasets["calls"];
    assert!(dataset.schema.field_with_name("notes").is_ok(), "{:?}", dataset.schema);
}

#[test]
fn a_dataset_is_named_with_lowercase_letters_digits_and_hyphens() {
    for name in ["gespräche", "Calls", "calls_1", "a.b", "..", "", "a/b", "a b"] {
        let quoted = format!("[dataset.{name:?}");
        let text = VALID.replace("[dataset.calls", &quoted);
        let message = read("own.toml", &text).unwrap_err().to_string();
        let expected = format!("dataset.{name}: `{name}` is not a valid name of a dataset");
        assert!(message.contains(&expected), "{message}");
    }
    let valid = VALID.replace("[dataset.calls", "[dataset.calls-2");
    assert!(read("own.toml", &valid).unwrap().datasets.contains_key("calls-2"));
}

#[test]
fn a_column_that_is_called_like_the_partition_folder_is_refused() {
    for name in ["date", "Date", "DATE"] {
        let column = format!("notes = \"map\"\n{name} = \"string\"");
        let message = error_of("notes = \"map\"", &column);
        let expected = format!("type.call.{name}: a column cannot be called `{name}`");
        assert!(message.contains(&expected), "{message}");
        let nested = VALID.replace("score = ", &format!("{name} = 'string'\nscore = "));
        assert!(read("own.toml", &nested).is_ok(), "a nested column is not taken for the folder");
    }
    let bare = VALID.replace("columns = \"call\"", "").replace("\"at\"", "\"date\"");
    let message = read("own.toml", &bare).unwrap_err().to_string();
    assert!(message.contains("dataset.calls: a column cannot be called `date`"), "{message}");
}

#[test]
fn a_column_that_is_called_like_the_one_of_what_fits_no_column_is_refused() {
    let message = error_of("notes = \"map\"", "notes = \"map\"\n_Extra = \"string\"");
    let expected = "type.call._Extra: a column cannot be called `_Extra`";
    assert!(message.contains(expected), "{message}");
    let bare = VALID.replace("columns = \"call\"", "").replace("\"at\"", "\"_extra\"");
    let message = read("own.toml", &bare).unwrap_err().to_string();
    assert!(message.contains("dataset.calls: a column cannot be called `_extra`"), "{message}");
}

#[test]
fn no_built_in_dataset_has_a_column_that_is_called_like_the_partition_folder() {
    for platform in PLATFORMS {
        for dataset in builtin(platform).unwrap().datasets.values() {
            let is_partition = |name: &String| name.eq_ignore_ascii_case("date");
            let names = dataset.schema.fields().iter().map(|field| field.name());
            assert_eq!(names.filter(|name| is_partition(name)).count(), 0, "{}", dataset.name);
        }
    }
}
