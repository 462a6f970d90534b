pub(crate) mod columns;
mod conservation;
mod extra;
mod json;
mod odd_rows;
mod oracle;

use arrow::datatypes::Float64Type;
use proptest::prelude::*;

use arrow::{array::Array, datatypes::Int64Type};

use super::*;
use crate::catalog;

const CATALOG: &str = r#"
[dataset.calls]
version = 1
id = "no"
time = "at"
columns = "call"
query = { path = "/calls", rows = "/data/calls", total = "/data/count", paging = "none" }

[dataset.bare]
version = 1
id = "name"
time = "at"
columns = "call"
query = { path = "/calls", rows = "", paging = "none" }

[dataset.several]
version = 1
id = ["name", "at", "notes"]
time = "at"
columns = "call"
query = { path = "/calls", rows = "", paging = "none" }

[type.call]
no = "int64"
at = "timestamp(ms)"
name = "string"
score = "double"
done = "boolean"
notes = "map"
legs = "list<leg>"

[type.leg]
seconds = "int64"
codes = "list<int64>"
began = "timestamp"
"#;

/// Parses and decodes a body.
fn decode_by(dataset: &Dataset, body: &[u8], owner: Interval) -> Result<Page, PageError> {
    let reply = PageParser::new(dataset.endpoint(), Vec::new()).find(body.to_vec().into())?;
    Decoder::new(dataset).decode(&reply, owner)
}

fn dataset(name: &str) -> Arc<Dataset> {
    Arc::clone(&catalog::read("test", CATALOG).unwrap().datasets[name])
}

fn conversations() -> &'static Dataset {
    catalog::test_dataset("conversations")
}

/// The total of a reply to a query of conversations.
fn total(body: &'static str) -> Option<u64> {
    PageParser::new(conversations().endpoint(), Vec::new()).find(body.into()).unwrap().total
}

/// Decodes a page of the `calls` dataset with these rows, for the first second of 1970.
fn decode(rows: &str) -> Page {
    let body = format!(r#"{{"data": {{"count": 7, "calls": [{rows}]}}}}"#);
    let page =
        decode_by(&dataset("calls"), body.as_bytes(), Interval::new(0, 1_000).unwrap()).unwrap();
    assert_eq!(
        page.received,
        page.batch.num_rows() as u64 + page.not_owned + page.bad.len() as u64
    );
    assert_eq!(page.keys.len(), page.batch.num_rows());
    page
}

/// A row with this `no`, written as it is, and more fields.
fn row(no: impl std::fmt::Display, more: &str) -> String {
    format!(r#"{{"no": {no}, "at": "1970-01-01T00:00:00.001Z"{more}}}"#)
}

fn ints(page: &Page) -> Vec<i64> {
    page.batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

/// The reason and the JSON of each row that cannot be decoded.
fn bad(page: &Page) -> Vec<(String, String)> {
    let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).unwrap();
    page.bad.iter().map(|row| (row.reason.to_owned(), text(row.raw))).collect()
}

/// The reason why a row cannot be decoded.
fn reason(row: &str) -> String {
    let mut bad = bad(&decode(row));
    assert_eq!((bad.len(), bad[0].1.as_str()), (1, row));
    bad.remove(0).0
}

fn hour(body: &str) -> Result<Page, PageError> {
    decode_by(
        conversations(),
        body.as_bytes(),
        "2024-01-01T00:00:00Z/2024-01-01T01:00:00Z".parse().unwrap(),
    )
}

/// As in the reference: four levels deep, unknown fields, unusual keys, values above 32 bits.
const CONVERSATION: &str = r#"{
  "conversationId": "c1", "conversationStart": "2024-01-01T00:10:00.000Z", "divisionIds": ["d1", "d2"],
  "mediaStatsMinConversationMos": 4.88, "fieldOfTomorrow": { "a": [1, { "b": null }] },
  "participants": [{ "participantId": "p1", "purpose": "customer",
    "attributes": { "": "empty", "a.b": "dots", "1st": "digit", "trailing  ": "x", "ключ": "ünï", "n": 5, "null": null },
    "sessions": [{ "sessionId": "s1", "flow": { "flowId": "f1", "outcomes": [{ "flowOutcome": "x" }] },
      "metrics": [{ "name": "tTalk", "value": 5097600909, "emitDate": "2024-01-01T00:10:00Z" }, { "name": "tTalk", "value": 1.0 }],
      "segments": [{ "segmentType": "interact", "q850ResponseCodes": [16] }] }] }] }"#;

#[test]
fn a_conversation_decodes_with_all_its_levels() {
    let page = hour(&format!(r#"{{"conversations": [{CONVERSATION}], "totalHits": 41}}"#)).unwrap();
    assert_eq!((page.received, page.not_owned), (1, 0));
    assert!(page.bad.is_empty(), "{:?}", page.bad);
    let column = |name: &str| page.batch.column_by_name(name).unwrap();
    assert_eq!(column("mediaStatsMinConversationMos").as_primitive::<Float64Type>().value(0), 4.88);
    assert!(column("surveys").is_null(0) && column("conversationEnd").is_null(0));
    let participant = column("participants").as_list::<i32>().value(0);
    let sessions =
        participant.as_struct().column_by_name("sessions").unwrap().as_list::<i32>().value(0);
    let metrics = sessions.as_struct().column_by_name("metrics").unwrap().as_list::<i32>().value(0);
    let values = metrics.as_struct().column_by_name("value").unwrap();
    assert_eq!(values.as_primitive::<Int64Type>().values(), &[5_097_600_909, 1]);
    let attributes =
        participant.as_struct().column_by_name("attributes").unwrap().as_map().value(0);
    let texts = |at: usize| attributes.column(at).as_string::<i32>().iter().collect::<Vec<_>>();
    assert_eq!(texts(0), ["", "a.b", "1st", "trailing  ", "ключ", "n", "null"].map(Some));
    assert_eq!(texts(1)[4..], [Some("ünï"), Some("5"), None]);
}

#[test]
fn a_page_without_its_rows_key_has_no_rows() {
    for body in [
        r#"{"totalHits": 3}"#,
        r#"{"conversations": null, "totalHits": 3}"#,
        r#"{"conversations": [], "totalHits": "3"}"#,
    ] {
        let page = hour(body).unwrap();
        assert_eq!((page.received, page.batch.num_rows(), total(body)), (0, 0, Some(3)));
        assert_eq!(page.batch.schema(), conversations().schema);
    }
    assert_eq!(total(r#"{"conversations": [], "totalHits": "many"}"#), None);
}

#[test]
fn rows_that_are_not_a_list_are_an_error_of_the_page() {
    for body in
        [r#"{"conversations": {}}"#, r#"{"conversations": "none"}"#, "[1]", "3", r#""an error""#]
    {
        assert!(matches!(hour(body), Err(PageError::Shape(_))), "{body}");
    }
    let error = hour(r#"{"conversations": {}}"#).unwrap_err().to_string();
    let expected =
        "the rows of the page are not where the catalog says: `/conversations` is an object";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_body_that_is_not_json_is_an_error_with_its_position() {
    let error = hour("<html>Bad Gateway</html>").unwrap_err();
    assert_eq!(error.to_string(), "the page is not valid JSON: expected value at line 1 column 1");
    assert!(matches!(hour(r#"{"totalHits": 3} {}"#), Err(PageError::NotJson(_))));
    let bad_key = b"{\"\xff\": 1, \"data\": {\"calls\": [{}]}}";
    assert!(decode_by(&dataset("calls"), bad_key, Interval::day_of(0)).is_err());
}

#[test]
fn a_truncated_page_is_an_error() {
    let body = format!(r#"{{"conversations": [{CONVERSATION}], "totalHits": 41}}"#);
    for end in 0..body.len() {
        let result = decode_by(conversations(), &body.as_bytes()[..end], Interval::day_of(0));
        assert!(matches!(result, Err(PageError::NotJson(_))), "{end}");
    }
}

#[test]
fn the_rows_may_be_the_whole_page_or_nested() {
    let rows = r#"[{"name": "a", "at": 5}, {"name": "", "at": 5}]"#;
    let page = decode_by(&dataset("bare"), rows.as_bytes(), Interval::day_of(0)).unwrap();
    // `no` is not the id of this dataset, so it may be null
    assert_eq!(
        (page.batch.num_rows(), bad(&page)[0].0.as_str()),
        (1, "the row has an empty `name`")
    );
}

#[test]
fn rows_under_a_repeated_key_are_all_received() {
    let body = format!(
        r#"{{"data": {{"calls": [{}]}}, "data": {{"calls": [{}]}}}}"#,
        row(1, ""),
        row(2, "")
    );
    let page = decode_by(&dataset("calls"), body.as_bytes(), Interval::day_of(0)).unwrap();
    assert_eq!(ints(&page), [1, 2]);
}

#[test]
fn an_undecodable_row_does_not_affect_the_others() {
    let soon = r#"{"no": 3, "at": "soon"}"#.to_owned();
    let rows = [row(1, ""), row(2, ""), soon.clone(), row(4, ""), row(5, "")].join(", ");
    let page = decode(&rows);
    assert_eq!(ints(&page), [1, 2, 4, 5]);
    let reason = "`at` is not a time or a number of milliseconds: \"soon\"";
    assert_eq!(bad(&page), [(reason.to_owned(), soon)]);
}

#[test]
fn a_row_without_id_or_time_is_undecodable() {
    assert_eq!(reason(r#"{"at": 1}"#), "the row has no `no`");
    assert_eq!(reason(r#"{"no": null, "at": 1}"#), "the row has no `no`");
    assert_eq!(reason(r#"{"no": 1}"#), "the row has no `at`");
    assert_eq!(reason(r#"{"no": 1, "at": ""}"#), "the row has no `at`");
    assert_eq!(reason(r#"{"no": {}, "at": 1}"#), "`no` is not a 64-bit integer: {}");
}

#[test]
fn an_id_of_several_columns_depends_on_each_of_them() {
    let rows = r#"[{"at": "1970-01-01T00:00:00Z"}, {"at": "1970-01-01T00:00:00.001Z"},
        {"at": "1970-01-01T00:00:00Z", "name": "x"}, {"at": "1970-01-01T00:00:00Z", "notes": {"a": "b"}},
        {"at": "1970-01-01T00:00:00.000Z", "done": true}]"#;
    let owner = Interval::new(0, 1_000).unwrap();
    let page = decode_by(&dataset("several"), rows.as_bytes(), owner).unwrap();
    let ids: Vec<_> = page.keys.iter().map(|key| key.id).collect();
    let different: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!((page.bad.len(), different.len(), ids[0] == ids[4]), (0, 4, true));
}

#[test]
fn a_row_that_is_not_an_object_is_undecodable() {
    for row in ["null", "5", "\"{\"", "[]", "[{\"no\": 1}]"] {
        assert_eq!(reason(row), "the row is not an object");
    }
    assert_eq!(decode(&format!("5, 6, {}, null", row(1, ""))).bad.len(), 3);
}

#[test]
fn a_text_with_half_of_a_character_does_not_fit() {
    let page = decode(
        &[row(1, r#", "name": "cut \ud83d""#), row(2, r#", "name": "\ud83d\ude00""#)].join(","),
    );
    let names = page.batch.column(2).as_string::<i32>();
    assert_eq!((names.is_null(0), names.value(1)), (true, "😀"));
}

#[test]
fn an_id_above_53_bits_is_exact() {
    let page = decode(&[row("9007199254740993", ""), row("\"9007199254740993\"", "")].join(","));
    assert_eq!(ints(&page), [9_007_199_254_740_993; 2]);
    assert_eq!(page.keys[0].id, page.keys[1].id);
    assert_eq!(page.keys[0].id, xxh3_128(b"9007199254740993"));
    assert_ne!(page.keys[0].digest, page.keys[1].digest);
}

#[test]
fn an_id_that_would_lose_digits_is_undecodable() {
    assert_eq!(
        ints(&decode(&[row("1.0", ""), row("1e3", ""), row("-0.0", "")].join(","))),
        [1, 1_000, 0]
    );
    for number in ["1.5", "12345678901234567890", "9223372036854775808", "true", "\"x\""] {
        let expected = format!("`no` is not a 64-bit integer: {number}");
        assert_eq!(reason(&row(number, "")), expected);
    }
    let nested = decode(&row(1, r#", "legs": [{"codes": [7, 1e1, "12"]}, null, {}]"#));
    let legs = nested.batch.column(6).as_list::<i32>().value(0);
    assert_eq!(
        legs.as_struct().column(1).as_list::<i32>().value(0).as_primitive::<Int64Type>().values(),
        &[7, 10, 12]
    );
    assert!(legs.is_null(1) && legs.as_struct().column(1).is_null(2));
}

#[test]
fn times_with_and_without_milliseconds_and_zones_are_read() {
    let page = |at: &str| decode(&format!(r#"{{"no": 1, "at": {at}}}"#)).keys[0].time_ms;
    for at in [
        r#""1970-01-01T00:00:00Z""#,
        r#""1970-01-01T01:00:00.000+01:00""#,
        r#""1970-01-01T00:00:00""#,
        "0",
    ] {
        assert_eq!(page(at), 0, "{at}");
    }
    for at in [r#""1970-01-01T00:00:00.123Z""#, r#""1970-01-01T00:00:00.123999Z""#, "123"] {
        assert_eq!(page(at), 123, "{at}");
    }
}

#[test]
fn g4_rows_outside_the_owner_are_counted_and_dropped() {
    let at = |no: i64, ms: i64| format!(r#"{{"no": {no}, "at": {ms}}}"#);
    let page = decode(&[at(1, -1), at(2, 999), at(3, 1_000), at(4, 0)].join(","));
    assert_eq!((ints(&page), page.not_owned), (vec![2, 4], 2));
    assert_eq!(page.keys.iter().map(|key| key.time_ms).collect::<Vec<_>>(), [999, 0]);
    let none = decode(&at(1, 1_000));
    assert_eq!((none.batch.num_rows(), none.not_owned, none.received), (0, 1, 1));
}

#[test]
fn an_undecodable_row_outside_the_owner_counts_as_undecodable() {
    let page = decode(r#"{"no": 1.5, "at": 5000}"#);
    assert_eq!((page.bad.len(), page.not_owned), (1, 0));
}

#[test]
fn g8_a_deeply_nested_row_does_not_overflow_the_stack() {
    for levels in [200, 200_000] {
        let nest = "[".repeat(levels) + &"]".repeat(levels);
        for field in ["name", "unknown"] {
            let nested = row(1, &format!(r#", "{field}": {nest}"#));
            let page = decode(&[nested, row(2, "")].join(","));
            assert_eq!((ints(&page), page.drift.fields().len()), (vec![1, 2], 1));
        }
        let bad_nest = "[".repeat(levels) + "x" + &"]".repeat(levels);
        let nested = row(1, &format!(r#", "unknown": {bad_nest}"#));
        let page = decode(&[nested, row(2, "")].join(","));
        assert_eq!(ints(&page), [2]);
    }
    let braces = row(1, &format!(r#", "name": "{}\"{{""#, "{".repeat(400)));
    assert_eq!(decode(&braces).batch.num_rows(), 1);
}

#[test]
fn a_decoder_is_shared_by_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    shared(&Decoder::new(&dataset("calls")));
}

/// The outcome of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
enum RowOutcome {
    Kept,
    NotOwned,
    Bad,
}

fn any_row() -> impl Strategy<Value = (String, RowOutcome)> {
    let at = |no: i64, ms: i64| {
        format!(r#"{{"no": {no}, "at": {ms}, "name": "[{{\"", "legs": [{{"seconds": {ms}}}]}}"#)
    };
    prop_oneof![
        4 => (any::<i64>(), 0i64..1_000).prop_map(move |(no, ms)| (at(no, ms), RowOutcome::Kept)),
        1 => (any::<i64>(), 1_000i64..9_000)
            .prop_map(move |(no, ms)| (at(no, ms), RowOutcome::NotOwned)),
        1 => prop::sample::select(vec![
            "null", "{}", "17", "[]", r#""\ud800""#, r#"{"no": 1.5, "at": 1}"#,
            r#"{"no": 1, "at": {}}"#, r#"{"no": 1, "at": "yes"}"#,
            r#"{"no": 1, "at": 1, "name": "\x"}"#,
        ])
        .prop_map(|row| (row.to_owned(), RowOutcome::Bad)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn g5_rows_received_are_the_sum_of_the_outcomes(
        rows in prop::collection::vec(any_row(), 0..40),
    ) {
        let texts: Vec<_> = rows.iter().map(|(row, _)| row.as_str()).collect();
        let of = |outcome: RowOutcome| {
            rows.iter().filter(move |row| row.1 == outcome).map(|row| row.0.clone())
        };
        let page = decode(&texts.join(", "));
        prop_assert_eq!(page.received, rows.len() as u64);
        prop_assert_eq!(page.not_owned, of(RowOutcome::NotOwned).count() as u64);
        let kept_raw: Vec<_> = bad(&page).into_iter().map(|bad| bad.1).collect();
        prop_assert_eq!(kept_raw, of(RowOutcome::Bad).collect::<Vec<_>>());
        let digests: Vec<_> = of(RowOutcome::Kept).map(|row| xxh3_64(row.as_bytes())).collect();
        prop_assert_eq!(page.keys.iter().map(|key| key.digest).collect::<Vec<_>>(), digests);
        for (key, no) in page.keys.iter().zip(ints(&page)) {
            prop_assert_eq!(key.id, xxh3_128(no.to_string().as_bytes()));
        }
    }

    #[test]
    fn any_bytes_decode_or_are_an_error(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode_by(&dataset("bare"), &body, Interval::day_of(0));
    }
}
