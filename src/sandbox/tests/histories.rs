//! User details, audits and usage.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::sandbox::tests::jobs::{JobDesk, LATER};

const USER_QUERY: &str = "/api/v2/analytics/users/details/query";
const USER_JOBS: &str = "/api/v2/analytics/users/details/jobs";
const AUDITS: &str = "/api/v2/audits/query";
const USAGE: &str = "/api/v2/usage/query";

fn desk() -> JobDesk {
    JobDesk::new(Jobs::default(), 1)
}

/// The records of users as the truth tells them: a row each, in no order.
fn records(users: &[Value], owner: Interval) -> BTreeSet<String> {
    let lists = |user: &Value| {
        ["primaryPresence", "routingStatus"].map(|key| user[key].as_array().cloned())
    };
    let row = |user: &Value, mut record: Value| {
        record["userId"] = user["userId"].clone();
        owner.contains(ms(&record["startTime"])).then(|| record.to_string())
    };
    let rows = users.iter().flat_map(|user| {
        lists(user)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|record| row(user, record))
            .collect::<Vec<_>>()
    });
    rows.collect()
}

/// The users of the details query, page by page.
fn user_pages(desk: &JobDesk, interval: Interval, size: usize) -> (Vec<Vec<Value>>, usize) {
    let mut pages = Vec::new();
    for number in 1.. {
        let paging = json!({"pageSize": size, "pageNumber": number});
        let body = json!({"interval": interval.to_string(), "paging": paging}).to_string();
        let page = value(&desk.send(START, Method::POST, USER_QUERY, &body));
        match page.get("userDetails") {
            Some(users) => pages.push(users.as_array().unwrap().clone()),
            None => return (pages, usize::try_from(page["totalHits"].as_u64().unwrap()).unwrap()),
        }
    }
    unreachable!()
}

#[test]
fn a_short_page_of_users_is_not_the_last() {
    let interval = days(DAY, DAY + 1);
    for size in [1, 2, 7, 20, 100] {
        let (pages, total) = user_pages(&desk(), interval, size);
        let users: Vec<_> = pages.concat();
        let ids: BTreeSet<_> = users.iter().map(|user| user["userId"].as_str().unwrap()).collect();
        assert_eq!((users.len(), ids.len()), (total, total), "pages of {size}");
        assert!(pages.iter().all(|page| !page.is_empty() && page.len() <= size));
        assert!(size < 3 || size > total || pages[0].len() < size, "the first is short");
    }
}

#[test]
fn the_query_and_the_job_tell_the_records_that_the_truth_has() {
    let desk = desk();
    let interval = span(DAY * DAY_MS + 30_000_000, (DAY + 2) * DAY_MS);
    let truth: BTreeSet<_> =
        desk.truth("user-details", interval).iter().map(Value::to_string).collect();
    assert!(truth.len() > 500);
    let (pages, _) = user_pages(&desk, interval, 20);
    assert_eq!(records(&pages.concat(), interval), truth);
    let job = desk.job(USER_JOBS, interval, &json!({}));
    assert_eq!(records(&desk.rows(&job, 7, "userDetails"), interval), truth);
    let everything = records(&pages.concat(), span(0, i64::from(u32::MAX) * 1000));
    assert!(everything.len() > truth.len(), "what began before and lasts into it is told too");
    let open = truth.iter().filter(|row| !row.contains("endTime")).count();
    assert!((1..50).contains(&open), "{open} are open");
}

#[test]
fn the_records_of_one_history_follow_one_another_without_a_gap() {
    let desk = desk();
    let users =
        |from, to| desk.rows(&desk.job(USER_JOBS, days(from, to), &json!({})), 1000, "userDetails");
    for user in users(DAY, DAY + 8) {
        for key in ["primaryPresence", "routingStatus"] {
            for pair in user[key].as_array().unwrap().windows(2) {
                assert!(
                    pair[0].get("endTime").is_none_or(|end| *end == pair[1]["startTime"]),
                    "{pair:?}"
                );
            }
        }
    }
    let [friday, saturday, sunday, monday] =
        [4, 5, 6, 7].map(|day| users(DAY + day, DAY + day + 1));
    assert_eq!(friday.len(), 54, "six of sixty never logged in");
    for (n, user) in friday.iter().enumerate() {
        let last = user["primaryPresence"].as_array().unwrap().last().unwrap();
        assert_eq!(last["systemPresence"], "OFFLINE");
        assert!(
            last.get("endTime").is_none_or(|end| ms(end) >= (DAY + 7) * DAY_MS),
            "until Monday"
        );
        // The first user comes on the first millisecond of Monday.
        for day in [&saturday, &sunday, &monday].into_iter().take(if n == 0 { 2 } else { 3 }) {
            assert_eq!(day[n]["primaryPresence"][0], *last, "the same record, whole");
        }
    }
    assert_eq!(
        desk.truth("user-details", days(DAY + 5, DAY + 7)),
        Vec::<Value>::new(),
        "nothing begins on a weekend"
    );
}

#[test]
fn audits_are_queued_run_and_succeed_and_come_in_pages() {
    let desk = desk();
    let interval = span(DAY * DAY_MS + DAY_MS / 2, (DAY + 3) * DAY_MS + DAY_MS / 2);
    let job = desk.job(AUDITS, interval, &json!({}));
    let state = |at_ms| value(&desk.get(Duration::from_millis(at_ms), &job))["state"].clone();
    assert_eq!([0, 100, 500].map(state), [json!("Queued"), json!("Running"), json!("Succeeded")]);
    let first = value(&desk.get(LATER, &format!("{job}/results")));
    assert_eq!((&first["pageSize"], first["entities"].as_array().unwrap().len()), (&json!(25), 25));
    refused(&desk.get(LATER, &format!("{job}/results?pageSize=501")), 400, "invalid.value");
    let truth = desk.truth("audits", interval);
    assert_eq!((desk.rows(&job, 500, "entities"), truth.len()), (truth.clone(), 3 * 240));
    assert!(truth.iter().all(|row| interval.contains(ms(&row["eventDate"]))));
    let ids: BTreeSet<_> = truth.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), truth.len());
}

#[test]
fn audits_can_be_asked_of_one_service_newest_first_and_for_thirty_days() {
    let desk = desk();
    let ask = |interval, more| desk.rows(&desk.job(AUDITS, interval, &more), 500, "entities");
    let mut wanted = desk.truth("audits", days(DAY, DAY + 1));
    wanted.retain(|row| row["serviceName"] == "Routing");
    wanted.reverse();
    let sort = json!([{"name": "Timestamp", "sortOrder": "descending"}]);
    assert_eq!(ask(days(DAY, DAY + 1), json!({"serviceName": "Routing", "sort": sort})), wanted);
    assert_eq!(ask(days(DAY, DAY + 30), json!({})).len(), 30 * 240);
    let body = json!({"interval": days(DAY, DAY + 31).to_string()}).to_string();
    refused(&desk.send(START, Method::POST, AUDITS, &body), 400, "bad.request");
    let body =
        json!({"interval": days(DAY, DAY + 1).to_string(), "serviceName": "Magic"}).to_string();
    refused(&desk.send(START, Method::POST, AUDITS, &body), 400, "invalid.value");
}

#[test]
fn usage_runs_until_its_one_page_is_complete() {
    let desk = desk();
    let interval = days(DAY, DAY + 2);
    let body = json!({"interval": interval.to_string(), "granularity": "Day"}).to_string();
    let told = value(&desk.send(START, Method::POST, USAGE, &body));
    let uri = told["resultsUri"].as_str().unwrap();
    assert_eq!(uri, format!("{USAGE}/{}/results", told["executionId"].as_str().unwrap()));
    assert_eq!(value(&desk.get(START, uri)), json!({"queryStatus": "Running"}));
    let page = value(&desk.get(LATER, uri));
    assert_eq!((&page["queryStatus"], page.get("cursor")), (&json!("Complete"), None));
    assert_eq!(page["results"].as_array().unwrap(), &desk.truth("usage", interval));
    let mut a_day: BTreeMap<String, usize> = BTreeMap::new();
    for row in page["results"].as_array().unwrap() {
        *a_day.entry(row["date"].to_string()).or_default() += 1;
        let parts = ["status200", "status300", "status400", "status500", "status429"];
        assert_eq!(
            row["requests"],
            parts.iter().map(|part| row[part].as_i64().unwrap()).sum::<i64>()
        );
    }
    assert_eq!(a_day.into_values().collect::<Vec<_>>(), [12, 12]);
    let noons = span(DAY * DAY_MS + DAY_MS / 2, (DAY + 1) * DAY_MS + DAY_MS / 2);
    let rows = desk.rows(&desk.job(USAGE, noons, &json!({})), 1, "results");
    assert_eq!(
        rows,
        desk.truth("usage", days(DAY + 1, DAY + 2)),
        "the one day that begins in between"
    );
    refused(&desk.get(LATER, uri.trim_end_matches("/results")), 405, "method.not.allowed");
}

#[test]
fn a_usage_query_or_an_audit_that_fails_says_so() {
    let desk = JobDesk::new(Jobs { fail_every: 1, ..Jobs::default() }, 1);
    let audit = desk.job(AUDITS, days(DAY, DAY + 1), &json!({}));
    assert_eq!(value(&desk.get(LATER, &audit))["state"], "Failed");
    refused(&desk.get(LATER, &format!("{audit}/results")), 400, "bad.request");
    let usage = desk.job(USAGE, days(DAY, DAY + 1), &json!({}));
    assert_eq!(
        value(&desk.get(LATER, &format!("{usage}/results"))),
        json!({"queryStatus": "Failed"})
    );
}

#[test]
fn what_is_not_played_is_refused_and_not_ignored() {
    let desk = desk();
    let interval = days(DAY, DAY + 1).to_string();
    for (path, more) in [
        (USER_QUERY, json!({"userFilters": [{}]})),
        (USER_JOBS, json!({"presenceFilters": [{}]})),
        (USER_QUERY, json!({"order": "desc"})),
        (AUDITS, json!({"filters": [{"property": "UserId", "value": "x"}]})),
        (USAGE, json!({"granularity": "Week"})),
        (USAGE, json!({"groupBy": ["UserId"]})),
    ] {
        let mut body = json!({"interval": interval});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = desk.send(START, Method::POST, path, &body.to_string());
        assert_eq!(reply.status(), 400, "{path} {more}");
        assert!(value(&reply)["message"].as_str().unwrap().contains("not played"), "{path} {more}");
    }
}
