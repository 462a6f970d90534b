//! Custom catalogues in the forms that tutorials use: the real program fetches them from a stub
//! that answers in that form.

use std::{ops::Range, path::Path, process::Output};

use arrow::{
    array::{Array, AsArray},
    datatypes::TimestampMicrosecondType,
};
use cxbackfill::testing::iso;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::common::{
    binary::{CREDENTIALS, program, set, summary},
    reader::{Case, expect_all_equal},
    stub_transport::{Stub, StubRequest, StubResponse, serve},
};

/// 2024-01-01 and an hour, in milliseconds.
const START: i64 = 1_704_067_200_000;
const HOUR: i64 = 3_600_000;
/// The number of rows of a page.
const PAGE: usize = 4;

/// The rows of the platform: an interaction every five hours for four days; three are fetched.
fn interactions() -> Vec<Value> {
    let interaction = |no: i64| {
        let channel = if no % 3 == 0 { Value::Null } else { "voice".into() };
        let start = iso(START + no * 5 * HOUR);
        json!({ "interactionId": format!("i{no:02}"), "startTime": start, "channel": channel })
    };
    (0..20).map(interaction).collect()
}

/// The interactions that start in `[from, to)`.
fn between(from: &str, to: &str) -> Vec<Value> {
    let [from, to] = [from, to].map(|time| time.parse::<jiff::Timestamp>().unwrap());
    let starts =
        |row: &Value| (from..to).contains(&row["startTime"].as_str().unwrap().parse().unwrap());
    interactions().into_iter().filter(starts).collect()
}

/// The rows of the page with index `at`, and whether another follows.
fn page(rows: &[Value], at: usize) -> (&[Value], bool) {
    let Range { start, end } = (at * PAGE).min(rows.len())..((at + 1) * PAGE).min(rows.len());
    (&rows[start..end], end < rows.len())
}

fn ok(reply: &Value) -> StubResponse {
    (200, reply.to_string())
}

/// Runs a catalogue of `tests/tutorials` against a stub, and checks that the files have exactly the
/// interactions of three days.
async fn expect_three_days(
    catalog: &str,
    auth: &str,
    token_path: &'static str,
    answer: fn(&StubRequest) -> StubResponse,
) {
    let (stub, folder) = (Stub::new(token_path, answer), tempfile::tempdir().unwrap());
    let host = serve(&stub).await;
    let config = format!(
        "[job]\nfrom = '2024-01-01T00:00:00Z'\nto = '2024-01-04T00:00:00Z'\ndatasets = ['interactions']\n\
         [source]\nplatform = 'custom'\ncatalog = '{}/tests/tutorials/{catalog}'\napi_url = '{host}'\n\
         [budget]\nrequests = 0\n[retry]\nfirst = '10ms'\n{}",
        env!("CARGO_MANIFEST_DIR"),
        auth.replace("HOST", &host)
    );
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    let mut run = program(folder.path(), &["run", "--summary", "json"]);
    let run = set(&mut run, &CREDENTIALS).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(0), "{said}\n{:#?}", stub.requests());
    let expected = between("2024-01-01T00:00:00Z", "2024-01-04T00:00:00Z");
    assert_eq!(rows(&folder.path().join("out/interactions")), expected, "{:#?}", stub.requests());
    let counts = ["rows_received", "rows_written"].map(|key| summary(&run)[key].clone());
    assert_eq!(counts, [json!(15), json!(15)], "each once");
}

/// The interactions in the files below a folder, by id.
fn rows(folder: &Path) -> Vec<Value> {
    let days = std::fs::read_dir(folder).unwrap().map(|day| day.unwrap().path());
    let mut rows = Vec::new();
    for file in
        days.flat_map(|day| std::fs::read_dir(day).unwrap().map(|file| file.unwrap().path()))
    {
        let file = std::fs::File::open(file).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let [id, time, channel] = ["interactionId", "startTime", "channel"]
                .map(|name| batch.column_by_name(name).unwrap());
            let time = time.as_primitive::<TimestampMicrosecondType>();
            let (id, channel) = (id.as_string::<i32>(), channel.as_string::<i32>());
            rows.extend((0..batch.num_rows()).map(|row| {
                let channel = channel.is_valid(row).then(|| channel.value(row));
                let (id, start) = (id.value(row), iso(time.value(row) / 1_000));
                json!({ "interactionId": id, "startTime": start, "channel": channel })
            }));
        }
    }
    rows.sort_by_key(|row| row["interactionId"].to_string());
    rows
}

/// A token endpoint on the host of the API, at the usual path.
const TOKEN: &str = "[auth]\ntoken_url = 'HOST/oauth/token'";

#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_uri_of_a_post_is_followed_by_get() {
    let answer = |request: &StubRequest| {
        let parameter = |key: &str| {
            request.body[key].as_str().map(str::to_owned).or(request.param(key)).unwrap()
        };
        let (from, to) = (parameter("startTime"), parameter("endTime"));
        let at = match request.method.as_str() {
            "POST" => 0,
            _ => request.number("page"),
        };
        let rows = between(&from, &to);
        let (rows, more) = page(&rows, at);
        let next = format!("/v1/interactions/search?startTime={from}&endTime={to}&page={}", at + 1);
        ok(&json!({ "interactions": rows, "nextPageUri": more.then_some(next) }))
    };
    expect_three_days("next-page-uri.toml", TOKEN, "/oauth/token", answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_sent_in_the_body() {
    let answer = |request: &StubRequest| {
        let (from, to) = request.body["interval"].as_str().unwrap().split_once('/').unwrap();
        let rows = between(from, to);
        let at = request.body["pageToken"]
            .as_str()
            .map_or(0, |token| token.strip_prefix("t-").unwrap().parse().unwrap());
        assert_eq!(request.body["pageSize"], PAGE);
        let (rows, more) = page(&rows, at);
        let mut reply = json!({ "entities": rows });
        if more {
            reply["nextPageToken"] = format!("t-{}", at + 1).into();
        }
        ok(&reply)
    };
    expect_three_days("page-token.toml", TOKEN, "/oauth/token", answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_number_with_the_next_page_in_the_reply() {
    let answer = |request: &StubRequest| {
        let time = |key: &str| iso(i64::try_from(request.number(key)).unwrap() * 1_000);
        let rows = between(&time("start"), &time("end"));
        let at = request.number("page_number");
        let (rows, more) = page(&rows, at - 1);
        ok(&json!({ "data": { "interactions": rows, "nextPage": more.then_some(at + 1) } }))
    };
    expect_three_days("next-page.toml", TOKEN, "/oauth/token", answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_link_to_the_next_page_is_followed() {
    let answer = |request: &StubRequest| {
        let rows = between(&request.param("after").unwrap(), &request.param("before").unwrap());
        let at = request.param("page").map_or(1, |page| page.parse().unwrap());
        let (shown, more) = page(&rows, at - 1);
        let mut next = request.url.clone();
        let kept: Vec<_> =
            request.url.query_pairs().into_owned().filter(|(key, _)| key != "page").collect();
        next.query_pairs_mut()
            .clear()
            .extend_pairs(kept)
            .append_pair("page", &(at + 1).to_string());
        ok(
            &json!({ "count": rows.len(), "next": more.then_some(next), "previous": null, "results": shown }),
        )
    };
    expect_three_days("results-next.toml", TOKEN, "/oauth/token", answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_range_of_whole_days_is_requested_with_a_token_of_the_api() {
    let answer = |request: &StubRequest| {
        let range = &request.body["dateRange"];
        let [from, to] = ["from", "to"].map(|key| range[key].as_str().unwrap());
        // the last day is included
        let rows = between(&format!("{from}T00:00:00Z"), &format!("{to}T23:59:59.999999999Z"));
        ok(&json!({ "report": { "name": "interactions", "lines": rows } }))
    };
    let auth = "[auth]\nsend = 'body'\nform = { audience = 'reports' }\ntoken_url = 'HOST/v1/session/token'";
    expect_three_days("date-range.toml", auth, "/v1/session/token", answer).await;
}

/// The rows of the helpdesk: a case every 20 minutes for eight days.
fn cases() -> Vec<Value> {
    let case = |no: i64| {
        let opened = START + no * HOUR / 3;
        let message = |at: i64| json!({ "sentAt": iso(opened + at * 60_000), "author": "ana", "words": at * no });
        let mut case = json!({
            "caseId": 9_007_199_254_740_993_i64 + no, "openedAt": iso(opened), "priority": "normal",
            "escalated": no % 7 == 0, "tags": ["phone", "ünï"], "requester": { "name": format!("n{no}") },
            "messages": (0..no % 4).map(message).collect::<Vec<_>>(),
        });
        if no % 2 == 0 {
            (case["closedAt"], case["score"]) = (iso(opened + HOUR).into(), 4.5.into());
        }
        case
    };
    (0..8 * 72).map(case).collect()
}

fn helpdesk(request: &StubRequest) -> StubResponse {
    let [from, to] = ["opened_from", "opened_to"].map(|key| request.param(key).unwrap());
    let opened =
        |case: &Value| (from.as_str()..to.as_str()).contains(&case["openedAt"].as_str().unwrap());
    let cases: Vec<_> = cases().into_iter().filter(opened).collect();
    let (offset, limit) = (request.number("offset"), request.number("limit"));
    // the API returns fewer rows than requested
    let page: Vec<_> = cases.iter().skip(offset).take(limit.min(30)).collect();
    ok(&json!({ "data": { "count": cases.len(), "cases": page } }))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_api_is_fetched_by_configuration_alone() {
    let (stub, folder) = (Stub::new("/v1/token", helpdesk), tempfile::tempdir().unwrap());
    let host = serve(&stub).await;
    let ended = |command: &str| -> Output {
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tutorials/helpdesk.config.toml");
        let mut program = program(folder.path(), &[command, "--config", config]);
        program.env("HELPDESK_SECRET", "s3cret");
        let hosts = [format!("source.api_url={host}"), format!("auth.token_url={host}/v1/token")];
        set(&mut program, &hosts);
        set(&mut program, &["output.row_group_rows=40", "output.path=out"]).output().unwrap()
    };
    assert_eq!(ended("check").status.code(), Some(0), "{:?}", ended("check"));
    let run = ended("run");
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let truth: Vec<_> = cases().iter().take(7 * 72).map(Value::to_string).collect();
    expect_all_equal(&[Case {
        folder: folder.path().join("out/cases"),
        truth: truth.join("\n"),
        id: vec!["caseId".to_owned()],
        time: "openedAt".to_owned(),
        taken: None,
        version: 1,
    }]);
    assert!(String::from_utf8_lossy(&run.stdout).contains("504  of 504 received"), "{run:?}");
    let requests = stub.requests().len();
    assert!(ended("run").status.success());
    assert_eq!(stub.requests().len(), requests, "a second run makes no requests");
}

#[test]
fn the_walk_through_of_the_readme_is_the_tested_example() {
    let readme = include_str!("../../README.md").split("## Your own API").nth(1).unwrap();
    let blocks: Vec<_> =
        readme.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let tested = [
        include_str!("../tutorials/helpdesk.toml"),
        include_str!("../tutorials/helpdesk.config.toml"),
    ];
    for (block, tested) in blocks.iter().zip(tested) {
        for line in block.lines() {
            assert!(tested.lines().any(|other| other == line), "{line}");
        }
    }
    let with_tables = [blocks[0], blocks[2]].concat();
    let catalog = cxbackfill::testing::catalog::read("README.md", &with_tables).unwrap();
    assert_eq!(catalog.datasets["cases"].tables.len(), 2);
}
