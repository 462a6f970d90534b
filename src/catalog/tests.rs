use serde_json::json;

use arrow::datatypes::{DataType, Field};
use http::Method;

use super::*;
use crate::catalog::{endpoint::TotalAccuracy, schema::timestamp};

const DAY: Duration = Duration::from_secs(86_400);

/// A catalogue that is sound, to break in one place.
const SOUND: &str = r#"
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

/// What is said of the sound catalogue after one change.
fn flaw(from: &str, to: &str) -> String {
    assert!(SOUND.contains(from), "{from}");
    read("own.toml", &SOUND.replacen(from, to, 1)).unwrap_err().to_string()
}

fn conversations() -> &'static Dataset {
    &builtin("genesys-cloud").unwrap().datasets["conversations"]
}

#[test]
fn the_built_in_catalogue_reads() {
    let dataset = conversations();
    assert_eq!((dataset.name.as_str(), dataset.version), ("conversations", 1));
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
    assert_eq!(fields.last().unwrap().name(), "participants");
    let never_null: Vec<_> =
        fields.iter().filter(|f| !f.is_nullable()).map(|f| f.name().as_str()).collect();
    assert_eq!(never_null, ["conversationId", "conversationStart"]);
}

#[test]
fn nested_types_become_lists_of_structs() {
    let dataset = &read("own.toml", SOUND).unwrap().datasets["calls"];
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
    let slots =
        PlaceholderValues { page: 7, page_size: 50, ..PlaceholderValues::bare(interval, "") };
    let call =
        conversations().endpoint().request.fill_filtered(&slots, filter.as_object().unwrap());
    let expected = json!({
        "interval": "2024-01-01T00:00:00.000Z/2024-01-08T00:00:00.000Z",
        "order": "asc",
        "orderBy": "conversationStart",
        "paging": { "pageSize": 50, "pageNumber": 7 },
        "segmentFilters": [{ "type": "and", "value": "{page}" }],
    });
    assert_eq!(call.body, Some(expected));
    assert_eq!(
        conversations().endpoint().reserved_keys().collect::<Vec<_>>(),
        ["interval", "order", "orderBy", "paging"]
    );
}

#[test]
fn an_error_names_the_file_and_the_key() {
    for (from, to, expected) in [
        ("version = 1", "version = 0", "dataset.calls.version: versions count from 1"),
        (
            "version = 1",
            "version = -1",
            "dataset.calls.version: invalid value: integer `-1`, expected u32",
        ),
        ("\"GET\"", "\"get\"", "dataset.calls.query.method: a method is GET, POST or DELETE"),
        (
            "\"/calls\"",
            "\"https://x/\"",
            "dataset.calls.query.path: a path begins with one slash and names no host",
        ),
        (
            "\"/calls\"",
            "\"//x/\"",
            "dataset.calls.query.path: a path begins with one slash and names no host",
        ),
        (
            "\"/calls\"",
            "'/\\x/'",
            "dataset.calls.query.path: a path begins with one slash and names no host",
        ),
        (
            "\"/calls\"",
            "\"/\\t/x/\"",
            "dataset.calls.query.path: a path begins with one slash and names no host",
        ),
        (
            "id = \"no\"",
            "id = \"nr\"",
            "dataset.calls.id: names no column that is a string or an int64",
        ),
        (
            "id = \"no\"",
            "id = \"legs\"",
            "dataset.calls.id: names no column that is a string or an int64",
        ),
        ("id = \"no\"", "", "dataset.calls: missing field `id`"),
        (
            "id = \"no\"",
            "id = [\"no\", \"nr\"]",
            "dataset.calls.id: names a column that is not there, or one with times inside",
        ),
        (
            "time = \"at\"",
            "time = \"no\"",
            "dataset.calls.time: names no column that is a timestamp",
        ),
        (
            "\"12h\"",
            "\"0h\"",
            "dataset.calls.query.widest: a duration above zero is written like 7d or 12h",
        ),
        (
            "\"12h\"",
            "\"-1d\"",
            "dataset.calls.query.widest: a duration above zero is written like 7d or 12h",
        ),
        (
            "\"12h\"",
            "\"1 month\"",
            "dataset.calls.query.widest: a duration above zero is written like 7d or 12h",
        ),
        ("500", "0", "dataset.calls.query.page_size: a page needs a row"),
        (
            "time = \"at\"",
            "time = \"at\"\nopen = \"ended\"",
            "dataset.calls.open: names a column that is not there",
        ),
        (
            "page_size = 500",
            "page_size = 500\ntotal_is = \"exact\"",
            "dataset.calls.query.total_is: there is no total: say where the reply has it (`total`), \
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
        ("\"double\"", "\"list<call>\"", "type.call: contains itself: call → leg → call"),
        ("score = \"double\"", "", "type.leg: a type needs a column"),
        (
            "score = \"double\"",
            "score = 1",
            "type.leg.score: invalid type: integer `1`, expected a string",
        ),
        ("notes = \"map\"", "notes = \"map\"\nno = \"map\"", "line 23: duplicate key"),
    ] {
        assert_eq!(flaw(from, to), format!("own.toml: {expected}"));
    }
    let unknown = flaw("page_size", "pagesize");
    assert!(
        unknown.starts_with(
            "own.toml: dataset.calls.query.pagesize: unknown field `pagesize`, expected one of"
        ),
        "{unknown}"
    );
    let slot = flaw("{page}", "{pag}");
    assert!(
        slot.starts_with("own.toml: dataset.calls.query.query.page: `{pag}` is not a placeholder"),
        "{slot}"
    );
}

#[test]
fn a_dataset_may_lack_its_columns_until_somebody_has_found_them_out() {
    let bare =
        SOUND.replacen("columns = \"call\"", "aliases = { begun = \"at\", of = \"owner\" }", 1);
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
        (false, vec![("at", time), ("no", text), ("owner", text)])
    );
}

#[test]
fn every_built_in_catalogue_reads_and_its_datasets_have_a_way() {
    for platform in PLATFORMS {
        let catalog = builtin(platform).unwrap();
        assert!(catalog.datasets.len() > 10, "{platform}");
        assert!(catalog.datasets.values().all(|dataset| dataset.endpoints().count() > 0));
    }
}

#[test]
fn another_name_of_a_column_is_no_column() {
    let with = |aliases: &str| {
        flaw("columns = \"call\"", &format!("columns = \"call\"\naliases = {aliases}"))
    };
    assert_eq!(
        with("{ number = 'nr' }"),
        "own.toml: dataset.calls.aliases: name a column that is not there"
    );
    assert_eq!(
        with("{ legs = 'notes' }"),
        "own.toml: dataset.calls.aliases: an alias is the name of a column"
    );
}

#[test]
fn what_is_asked_for_each_id_has_them_from_a_query_of_its_own() {
    let each = |dataset: &str, more: &str| {
        let endpoint = "query = { page = \"{page}\" }";
        let each = format!(
            "query = {{ page = '{{page}}', q = '{{each}}' }}\neach = {{ dataset = '{dataset}', column = 'no' }}"
        );
        read("own.toml", &format!("{}\n{more}", SOUND.replacen(endpoint, &each, 1)))
    };
    let queues = "[dataset.queues]\nversion = 1\nid = 'no'\ntime = 'at'\ncolumns = 'call'\n";
    let query = "query = { path = '/queues', rows = '', paging = 'none' }";
    assert!(each("queues", &format!("{queues}{query}")).is_ok());
    let said = |error: CatalogError| error.to_string();
    let missing = said(each("queues", "").unwrap_err());
    assert_eq!(
        missing,
        "own.toml: dataset.calls.query.each: there is no dataset `queues` in this file"
    );
    let itself = said(each("calls", "").unwrap_err());
    assert_eq!(
        itself,
        "own.toml: dataset.calls.query.each: the ids of `calls` are not had by a query of its own"
    );
}

/// The part of hours and minutes since 1970 that a dataset is asked for, some days later.
fn asked(
    platform: &str,
    dataset: &str,
    from: [i64; 2],
    to: [i64; 2],
    now: [i64; 2],
) -> Option<[[i64; 2]; 2]> {
    let ms = |[hours, minutes]: [i64; 2]| (hours * 60 + minutes) * 60_000;
    let back = |ms: i64| [ms / 3_600_000, ms / 60_000 % 60];
    let interval = Interval::new(ms(from), ms(to)).unwrap();
    let asked = builtin(platform).unwrap().datasets[dataset].requested(interval, ms(now))?;
    Some([back(asked.from_ms()), back(asked.to_ms())])
}

#[test]
fn what_is_asked_for_begins_and_ends_on_the_grain_of_its_dataset() {
    let late = [1_000, 0];
    let days = |from, to| asked("genesys-cloud", "conversation-aggregates", from, to, late);
    assert_eq!(days([1, 0], [75, 30]), Some([[24, 0], [72, 0]]));
    assert_eq!(days([24, 0], [48, 0]), Some([[24, 0], [48, 0]]));
    assert_eq!(days([25, 0], [71, 59]), None, "no whole day");
    let quarters = |from, to, now| asked("nice-cxone", "agent-performance", from, to, now);
    assert_eq!(quarters([1, 1], [3, 44], late), Some([[1, 15], [3, 30]]));
    assert_eq!(
        quarters([1, 0], [3, 0], [3, 17]),
        Some([[1, 0], [2, 45]]),
        "half an hour before now"
    );
    assert_eq!(quarters([1, 0], [3, 0], [1, 30]), None);
    let anywhere = [[1, 1], [3, 44]];
    assert_eq!(
        asked("genesys-cloud", "conversations", anywhere[0], anywhere[1], late),
        Some(anywhere)
    );
}

#[test]
fn a_snapshot_is_of_today_whatever_is_asked_for() {
    assert_eq!(asked("genesys-cloud", "users", [1, 0], [2, 0], [49, 7]), Some([[48, 0], [72, 0]]));
}

#[test]
fn a_shard_is_as_wide_as_it_may_be_in_whole_grains_and_never_narrower_than_one() {
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let width = |platform, dataset, most| builtin(platform).unwrap().datasets[dataset].shard(most);
    let days = |most| width("genesys-cloud", "conversation-aggregates", most);
    assert_eq!([DAY / 24, DAY, DAY * 3 / 2, 7 * DAY].map(days), [DAY, DAY, DAY, 7 * DAY]);
    let quarters = |most| width("nice-cxone", "agent-performance", most);
    assert_eq!([1, 15, 29, 30].map(|most| quarters(minutes(most))), [15, 15, 15, 30].map(minutes));
    assert_eq!(width("genesys-cloud", "conversations", minutes(7)), minutes(7));
}

#[test]
fn rows_come_in_no_order_unless_the_catalogue_says_so() {
    let ordered = |text: &str| read("own.toml", text).unwrap().datasets["calls"].endpoint().ordered;
    assert!(!ordered(SOUND));
    assert!(ordered(&SOUND.replace("widest = ", "ordered = true\nwidest = ")));
}

#[test]
fn a_total_is_a_hint_unless_the_catalog_says_exact() {
    let total_is =
        |text: &str| read("own.toml", text).unwrap().datasets["calls"].endpoint().total_is;
    let with_total = SOUND.replace("widest = ", "total = '/count'\nwidest = ");
    assert_eq!([SOUND, &with_total].map(total_is), [TotalAccuracy::Hint; 2]);
    let exact = with_total.replace("widest = ", "total_is = 'exact'\nwidest = ");
    assert_eq!(total_is(&exact), TotalAccuracy::Exact);
    assert_eq!(conversations().endpoint().total_is, TotalAccuracy::Hint);
    let contacts = &builtin("nice-cxone").unwrap().datasets["contacts"];
    assert_eq!(contacts.endpoint().total_is, TotalAccuracy::Exact);
}

#[test]
fn the_open_column_of_a_dataset_is_one_of_its_columns() {
    assert_eq!(conversations().open.as_deref(), Some("conversationEnd"));
    let own = SOUND.replace("time = \"at\"", "time = \"at\"\nopen = \"notes\"");
    let dataset = &read("own.toml", &own).unwrap().datasets["calls"];
    assert_eq!(dataset.open.as_deref(), Some("notes"));
    let bare = own.replace("columns = \"call\"", "");
    let dataset = &read("own.toml", &bare).unwrap().datasets["calls"];
    assert!(dataset.schema.field_with_name("notes").is_ok(), "{:?}", dataset.schema);
}
