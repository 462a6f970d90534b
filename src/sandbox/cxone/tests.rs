//! The rules of the platform, one test per sentence.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::sandbox::{
    Settings,
    tests::rows,
    time::{DAY_MS, iso},
};

/// The day of the tests: 2024-03-18, a Monday.
const DAY: i64 = 19_800;
const START: Duration = Duration::ZERO;

fn region(settings: Settings) -> Region {
    Region::new(Settings { requests: 0, conversations_per_day: 200, ..settings })
}

fn token(region: &Region) -> String {
    let form = "grant_type=password&username=u&password=p&client_id=c&client_secret=s";
    let reply = region.reply(START, &Request::post("/auth/token").body(Bytes::from(form)).unwrap());
    value(&reply)["access_token"].as_str().unwrap().to_owned()
}

fn send(region: &Region, now: Duration, method: &str, path: &str, body: &str) -> Response<Bytes> {
    let request = Request::builder().method(method).uri(path).header("host", "sandbox.test");
    let request = request.header("Authorization", format!("Bearer {}", token(region)));
    region.reply(now, &request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap())
}

/// A report of days from `DAY` on.
fn report(region: &Region, path: &str, days: (i64, i64), more: &str) -> Response<Bytes> {
    let (from, to) = (iso((DAY + days.0) * DAY_MS), iso((DAY + days.1) * DAY_MS));
    let path = format!("/incontactapi/services/v34.0/{path}?startDate={from}&endDate={to}{more}");
    send(region, START, "GET", &path, "")
}

fn value(reply: &Response<Bytes>) -> Value {
    serde_json::from_slice(reply.body()).unwrap()
}

fn truth(region: &Region, dataset: &str, days: (i64, i64)) -> Vec<Value> {
    let interval = (DAY + days.0) * DAY_MS..(DAY + days.1) * DAY_MS;
    rows(region.truth_of("nice-cxone", dataset, interval).unwrap())
}

/// Every row of a report, along its links.
fn along_links(region: &Region, first: Response<Bytes>, rows: &str) -> Vec<Value> {
    let (mut all, mut page) = (Vec::new(), value(&first));
    loop {
        all.extend(page[rows].as_array().unwrap().clone());
        let Some(next) = page["_links"]["next"].as_str() else { return all };
        assert!(next.starts_with("http://sandbox.test/incontactapi/"), "{next}");
        page =
            value(&send(region, START, "GET", next.trim_start_matches("http://sandbox.test"), ""));
    }
}

/// The id of a contact, written either way.
fn id(row: &Value) -> String {
    row["contactId"].as_str().map_or(row["contactId"].to_string(), str::to_owned)
}

#[test]
fn an_invalid_token_is_answered_401_in_the_format_of_cxone() {
    let region = region(Settings::default());
    let path = "/incontactapi/services/v34.0/contacts/completed";
    let request = Request::get(path).header("Authorization", "Bearer none").body(Bytes::new());
    let reply = region.reply(START, &request.unwrap());
    assert_eq!((reply.status().as_u16(), &value(&reply)["error"]), (401, &json!("invalid_token")));
    assert!(value(&reply)["errorDescription"].as_str().unwrap().contains("expired"));
    assert_eq!(
        send(&region, START, "GET", "/incontactapi/services/v34.0/nowhere", "").status(),
        404
    );
}

#[test]
fn the_links_lead_to_every_contact_and_the_newest_copy_is_the_truth() {
    let region = region(Settings::default());
    let first = report(&region, "contacts/completed", (0, 2), "&top=70");
    let total = value(&first)["totalRecords"].clone();
    let rows = along_links(&region, first, "completedContacts");
    let mut newest: BTreeMap<String, Value> = BTreeMap::new();
    for row in &rows {
        let held = newest.entry(id(row)).or_insert_with(|| row.clone());
        if row["lastUpdateTime"].as_str() > held["lastUpdateTime"].as_str() {
            *held = row.clone();
        }
    }
    let end = iso((DAY + 2) * DAY_MS);
    let inside =
        newest.values().filter(|row| row["contactStartDate"].as_str() < Some(&*end)).count();
    assert_eq!((inside, newest.len()), (400, 401), "the end is inclusive");
    assert_eq!(total, newest.len());
    assert!(rows.len() > newest.len(), "some come twice");
    assert!(
        rows.iter().any(|row| row["contactId"].is_string())
            && rows.iter().any(|row| row["contactId"].is_i64())
    );
    for row in truth(&region, "contacts", (0, 2)) {
        assert_eq!(newest[&id(&row)], row);
    }
}

#[test]
fn contacts_drift_alike_in_pages_and_in_the_truth() {
    let drifting = region(Settings { drift: true, ..Settings::default() });
    let first = report(&drifting, "contacts/completed", (0, 2), "&top=70");
    let rows = along_links(&drifting, first, "completedContacts");
    // the last copy of a contact comes last
    let last: BTreeMap<String, Value> = rows.into_iter().map(|row| (id(&row), row)).collect();
    let plain = truth(&region(Settings::default()), "contacts", (0, 2));
    let drifted = truth(&drifting, "contacts", (0, 2));
    assert_eq!(drifted.len(), plain.len());
    for (drifted, plain) in drifted.iter().zip(&plain) {
        assert_eq!((id(drifted), &last[&id(drifted)]), (id(plain), drifted));
    }
    assert!(drifted.iter().zip(&plain).filter(|(drifted, plain)| drifted != plain).count() > 390);
}

#[test]
fn past_the_end_and_in_an_empty_interval_the_reply_is_204_without_a_body() {
    let region = region(Settings::default());
    let past = report(&region, "contacts/completed", (0, 1), "&skip=5000");
    let empty = report(&region, "contacts/completed", (-DAY - 9, -DAY - 8), "");
    for reply in [past, empty] {
        assert_eq!((reply.status().as_u16(), reply.body().len()), (204, 0));
    }
}

#[test]
fn an_interval_that_is_too_long_is_answered_400_with_the_reason_in_a_header() {
    let region = region(Settings::default());
    let reason = |path: &str, days, more: &str| {
        let reply = report(&region, path, days, more);
        assert_eq!((reply.status().as_u16(), reply.body().len()), (400, 0), "{path}");
        reply.headers()["icStatusDescription"].to_str().unwrap().to_owned()
    };
    assert!(reason("contacts/completed", (0, 31), "").contains("30 days"));
    assert!(reason("contacts/custom-data", (0, 16), "").contains("15 days"));
    assert!(reason("contacts/completed", (0, 1), "&top=10001").contains("top"));
    assert!(reason("contacts/completed", (1, 0), "").contains("after"));
    let odd = "/incontactapi/services/v34.0/agents/performance?startDate=2024-03-18T00:00:01Z&endDate=2024-03-19T00:00:00Z";
    let odd = send(&region, START, "GET", odd, "");
    assert!(odd.headers()["icStatusDescription"].to_str().unwrap().contains("15 minute"));
    assert_eq!(report(&region, "contacts/custom-data", (0, 15), "").status(), 200);
}

#[test]
fn every_report_equals_the_truth() {
    let region = region(Settings::default());
    let reports = [
        ("contacts/state-history", "contactStateHistory", "contact-state-history", "startDate"),
        (
            "agents/interaction-history",
            "contactStates",
            "agent-interaction-history",
            "contactStartDate",
        ),
        ("agents/state-history", "agentStateHistory", "agent-state-history", "startDate"),
        ("agents/performance", "agentPerformance", "agent-performance", ""),
        ("teams/performance-total", "teamPerformanceTotal", "team-performance", ""),
        ("agents", "agents", "agents", ""),
        ("teams", "teams", "teams", ""),
        ("skills", "skills", "skills", ""),
        ("campaigns", "campaigns", "campaigns", ""),
        ("dispositions", "dispositions", "dispositions", ""),
    ];
    let end = iso((DAY + 1) * DAY_MS);
    for (path, key, dataset, time) in reports {
        let mut reported = along_links(&region, report(&region, path, (0, 1), ""), key);
        reported.retain(|row| row[time].as_str().is_none_or(|at| at < &*end));
        assert_eq!(reported, truth(&region, dataset, (0, 1)), "{dataset}");
        assert!(!reported.is_empty());
    }
    let last = "&endDate=2024-03-18T23:59:59.999Z";
    let inclusive = [
        ("contacts/custom-data", "ContactCustomData", "contact-custom-data"),
        ("skills/summary", "skillSummaries", "skill-summary"),
        ("skills/sla-summary", "serviceLevelSummaries", "sla-summary"),
    ];
    for (path, key, dataset) in inclusive {
        let reported = along_links(&region, report(&region, path, (0, 1), last), key);
        assert_eq!(reported, truth(&region, dataset, (0, 1)), "{dataset}");
        assert!(!reported.is_empty());
    }
    assert!(region.truth_of("nice-cxone", "nothing", 0..DAY_MS).is_none());
}

#[test]
fn a_state_belongs_to_the_day_it_began_on_whenever_its_contact_did() {
    let region = region(Settings::default());
    let days: Vec<_> =
        (0..9).flat_map(|day| truth(&region, "contact-state-history", (day, day + 1))).collect();
    let whole = truth(&region, "contact-state-history", (0, 9));
    let ids = |rows: &[Value]| {
        let ids = rows.iter().map(|row| (id(row), row["stateIndex"].as_i64()));
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((days.len(), ids(&days)), (whole.len(), ids(&whole)));
    assert_eq!(ids(&whole).len(), whole.len());
}

#[test]
fn an_old_version_wraps_its_rows_and_writes_every_value_as_a_string() {
    let region = region(Settings::default());
    let path = "/incontactapi/services/v23.0/contacts/completed?startDate=2024-03-18T00:00:00Z&endDate=2024-03-18T06:00:00Z";
    let page = value(&send(&region, START, "GET", path, ""));
    let row = &page["resultSet"]["completedContacts"][0];
    assert!(
        row.as_object()
            .unwrap()
            .iter()
            .all(|(_, v)| matches!(v, Value::String(_) | Value::Null | Value::Array(_)))
    );
    assert_eq!(row["contactStart"], "2024-03-18T00:00:00.000Z");
    assert_eq!(row["contactStartDate"], Value::Null);
    assert!(row["isOutbound"] == "True" || row["isOutbound"] == "False");
}

#[test]
fn a_filter_selects_rows_and_changes_their_count() {
    let region = region(Settings::default());
    let page = value(&report(
        &region,
        "contacts/completed",
        (0, 1),
        "&skillId=3&fields=contactId,skillId",
    ));
    let rows = page["completedContacts"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["skillId"] == 3 && row.as_object().unwrap().len() == 2));
    assert!(rows.len() < 100 && page["totalRecords"].as_u64().unwrap() <= rows.len() as u64);
}

#[test]
fn the_address_of_a_file_is_valid_for_30_seconds() {
    let region = region(Settings::default());
    let at = Duration::from_secs;
    let body = json!({
        "entityName": "qm-workflows", "version": "4",
        "startDate": "2024-03-18", "endDate": "2024-03-18",
    });
    let submit = |now| send(&region, now, "POST", JOBS, &body.to_string());
    let submitted = submit(at(0));
    assert_eq!(submitted.status(), 202);
    let job = value(&submitted).as_str().unwrap().to_owned();
    let soon = submit(at(29));
    assert_eq!((soon.status().as_u16(), soon.headers().get("retry-after")), (429, None));
    assert_eq!(submit(at(30)).status(), 202);
    let poll =
        |now| value(&send(&region, now, "GET", &format!("{JOBS}/{job}"), ""))["jobStatus"].clone();
    assert_eq!(
        (&poll(at(1))["status"], &poll(at(1))["result"]["url"]),
        (&json!("RUNNING"), &Value::Null)
    );
    let address =
        poll(at(40))["result"]["url"].as_str().unwrap().replace("http://sandbox.test", "");
    let fetch = |now| region.reply(now, &Request::get(&address).body(Bytes::new()).unwrap());
    assert_eq!(fetch(at(70)).status(), 403);
    assert_eq!(poll(at(71))["status"], "SUCCEEDED");
    let file = fetch(at(100));
    let text = std::str::from_utf8(file.body()).unwrap();
    assert!(text.starts_with("\u{feff}tenantName,agentId,"));
    let rows = truth(&region, "qm-workflows", (0, 1));
    assert!(!rows.is_empty());
    assert_eq!(text.matches("\r\n").count(), 1 + rows.len());
    assert_eq!(poll(at(25 * 60 * 60 - 3600 * 2))["status"], "SUCCEEDED");
    assert_eq!(send(&region, at(0), "POST", JOBS, "{}").status(), 429);
    assert_eq!(send(&region, at(90), "POST", JOBS, "{}").status(), 404);
}

#[test]
fn a_data_extraction_takes_bare_dates_and_two_weeks_at_most() {
    let submit = |entity: [&str; 2], dates: [&str; 2]| {
        let body = json!({
            "entityName": entity[0], "version": entity[1],
            "startDate": dates[0], "endDate": dates[1],
        });
        let region = region(Settings::default());
        send(&region, START, "POST", JOBS, &body.to_string()).status().as_u16()
    };
    let recordings = ["recording-interaction-metadata", "12"];
    assert_eq!(submit(recordings, ["2024-03-01", "2024-03-15"]), 202);
    assert_eq!(submit(recordings, ["2024-03-01", "2024-03-16"]), 400);
    assert_eq!(submit(recordings, ["2024-03-02", "2024-03-01"]), 400);
    assert_eq!(submit(recordings, ["2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z"]), 400);
    assert_eq!(submit(["contacts", "1"], ["2024-03-01", "2024-03-02"]), 404);
    assert_eq!(submit(["qm-workflows", "12"], ["2024-03-01", "2024-03-02"]), 404);
}

#[test]
fn an_extraction_has_workflows_by_submission_and_recordings_by_start() {
    let region = region(Settings::default());
    let day = |row: &Value, column: &str| row[column].as_str().unwrap()[..10].to_owned();
    for (dataset, time) in
        [("qm-workflows", "submissionDate"), ("recording-interaction-metadata", "startTime")]
    {
        let rows = truth(&region, dataset, (0, 1));
        assert!(rows.len() > 20, "{dataset}");
        assert!(rows.iter().all(|row| day(row, time) == "2024-03-18"), "{dataset}");
    }
}

#[test]
fn error_responses_have_the_format_of_the_platform_and_are_counted() {
    let deny = vec!["cxone:contacts/completed".to_owned(), "cxone:data-extraction".to_owned()];
    let denying = region(Settings { deny, ..Settings::default() });
    assert_eq!(report(&denying, "contacts/completed", (0, 1), "").status(), 403);
    assert_eq!(report(&denying, "agents", (0, 1), "").status(), 200);
    assert_eq!(send(&denying, START, "POST", JOBS, "{}").status(), 403);
    let faulty = region(Settings { throttle_every: 2, fail_every: 3, ..Settings::default() });
    let statuses = [(); 4].map(|()| report(&faulty, "agents", (0, 1), "").status().as_u16());
    assert_eq!(statuses, [200, 429, 503, 429]);
    assert_eq!(faulty.stats().api_requests, BTreeMap::from([(200, 1), (429, 2), (503, 1)]));
    let limited = Region::new(Settings { requests: 1, ..Settings::default() });
    report(&limited, "agents", (0, 1), "");
    let over = report(&limited, "agents", (0, 1), "");
    assert_eq!((over.status().as_u16(), over.headers().get("inin-ratelimit-count")), (429, None));
    assert_eq!(value(&over)["error"], "too_many_requests");
}
