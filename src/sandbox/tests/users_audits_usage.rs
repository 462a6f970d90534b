//! User details, audits and usage.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    async_jobs::{JobClient, LATER},
    *,
};

const USER_QUERY: &str = "/api/v2/analytics/users/details/query";
const USER_JOBS: &str = "/api/v2/analytics/users/details/jobs";
const AUDITS: &str = "/api/v2/audits/query";
const USAGE: &str = "/api/v2/usage/query";

fn job_client() -> JobClient {
    JobClient::new(JobSettings::default(), 1)
}

/// The records of users as in the truth, one row each.
fn records(users: &[Value], owner: TimeRange) -> BTreeSet<String> {
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
fn user_pages(client: &JobClient, interval: TimeRange, size: usize) -> (Vec<Vec<Value>>, usize) {
    let mut pages = Vec::new();
    for number in 1.. {
        let paging = json!({"pageSize": size, "pageNumber": number});
        let body = json!({"interval": interval.to_string(), "paging": paging}).to_string();
        let page = value(&client.send(START, Method::POST, USER_QUERY, &body));
        match page.get("userDetails") {
            Some(users) => pages.push(users.as_array().unwrap().clone()),
            None => return (pages, usize::try_from(page["totalHits"].as_u64().unwrap()).unwrap()),
        }
    }
    unreachable!()
}

#[test]
fn a_page_of_users_with_few_rows_is_not_the_last() {
    let interval = days(DAY, DAY + 1);
    for size in [1, 2, 7, 20, 100] {
        let (pages, total) = user_pages(&job_client(), interval, size);
        let users: Vec<_> = pages.concat();
        let ids: BTreeSet<_> = users.iter().map(|user| user["userId"].as_str().unwrap()).collect();
        assert_eq!((users.len(), ids.len()), (total, total), "pages of {size}");
        assert!(pages.iter().all(|page| !page.is_empty() && page.len() <= size));
        assert!(size < 3 || size > total || pages[0].len() < size, "the first is short");
    }
}

#[test]
fn the_query_and_the_job_return_the_records_of_the_truth() {
    let client = job_client();
    let interval = range(DAY * DAY_MS + 30_000_000, (DAY + 2) * DAY_MS);
    let truth: BTreeSet<_> =
        client.truth("user-details", interval).iter().map(Value::to_string).collect();
    assert!(truth.len() > 500);
    let (pages, _) = user_pages(&client, interval, 20);
    assert_eq!(records(&pages.concat(), interval), truth);
    let job = client.job(USER_JOBS, interval, &json!({}));
    assert_eq!(records(&client.rows(&job, 7, "userDetails"), interval), truth);
    let everything = records(&pages.concat(), range(0, i64::from(u32::MAX) * 1000));
    assert!(
        everything.len() > truth.len(),
        "records that began earlier and overlap the interval are returned too"
    );
    let open = truth.iter().filter(|row| !row.contains("endTime")).count();
    assert!((1..50).contains(&open), "{open} are open");
}

#[test]
fn the_records_of_one_history_have_no_gaps() {
    let client = job_client();
    let users = |from, to| {
        client.rows(&client.job(USER_JOBS, days(from, to), &json!({})), 1000, "userDetails")
    };
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
        // the first user begins on the first millisecond of Monday
        for day in [&saturday, &sunday, &monday].into_iter().take(if n == 0 { 2 } else { 3 }) {
            assert_eq!(day[n]["primaryPresence"][0], *last, "the same record, unclipped");
        }
    }
    assert_eq!(
        client.truth("user-details", days(DAY + 5, DAY + 7)),
        Vec::<Value>::new(),
        "nothing begins on a weekend"
    );
}

#[test]
fn audit_jobs_are_queued_run_succeed_and_have_pages() {
    let client = job_client();
    let interval = range(DAY * DAY_MS + DAY_MS / 2, (DAY + 3) * DAY_MS + DAY_MS / 2);
    let job = client.job(AUDITS, interval, &json!({}));
    let state = |at_ms| value(&client.get(Duration::from_millis(at_ms), &job))["state"].clone();
    assert_eq!([0, 100, 500].map(state), [json!("Queued"), json!("Running"), json!("Succeeded")]);
    let first = value(&client.get(LATER, &format!("{job}/results")));
    assert_eq!((&first["pageSize"], first["entities"].as_array().unwrap().len()), (&json!(25), 25));
    error_message(&client.get(LATER, &format!("{job}/results?pageSize=501")), 400, "invalid.value");
    let truth = client.truth("audits", interval);
    assert_eq!((client.rows(&job, 500, "entities"), truth.len()), (truth.clone(), 3 * 240));
    assert!(truth.iter().all(|row| interval.contains(ms(&row["eventDate"]))));
    let ids: BTreeSet<_> = truth.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), truth.len());
}

#[test]
fn audits_can_be_filtered_by_service_sorted_and_span_thirty_days() {
    let client = job_client();
    let fetch = |interval, more| client.rows(&client.job(AUDITS, interval, &more), 500, "entities");
    let mut expected = client.truth("audits", days(DAY, DAY + 1));
    expected.retain(|row| row["serviceName"] == "Routing");
    expected.reverse();
    let sort = json!([{"name": "Timestamp", "sortOrder": "descending"}]);
    assert_eq!(
        fetch(days(DAY, DAY + 1), json!({"serviceName": "Routing", "sort": sort})),
        expected
    );
    assert_eq!(fetch(days(DAY, DAY + 30), json!({})).len(), 30 * 240);
    let body = json!({"interval": days(DAY, DAY + 31).to_string()}).to_string();
    error_message(&client.send(START, Method::POST, AUDITS, &body), 400, "bad.request");
    let body =
        json!({"interval": days(DAY, DAY + 1).to_string(), "serviceName": "Magic"}).to_string();
    error_message(&client.send(START, Method::POST, AUDITS, &body), 400, "invalid.value");
}

#[test]
fn the_single_page_of_usage_is_complete_after_a_while() {
    let client = job_client();
    let interval = days(DAY, DAY + 2);
    let body = json!({"interval": interval.to_string(), "granularity": "Day"}).to_string();
    let submitted = value(&client.send(START, Method::POST, USAGE, &body));
    let uri = submitted["resultsUri"].as_str().unwrap();
    assert_eq!(uri, format!("{USAGE}/{}/results", submitted["executionId"].as_str().unwrap()));
    assert_eq!(value(&client.get(START, uri)), json!({"queryStatus": "Running"}));
    let page = value(&client.get(LATER, uri));
    assert_eq!((&page["queryStatus"], page.get("cursor")), (&json!("Complete"), None));
    assert_eq!(page["results"].as_array().unwrap(), &client.truth("usage", interval));
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
    let noons = range(DAY * DAY_MS + DAY_MS / 2, (DAY + 1) * DAY_MS + DAY_MS / 2);
    let rows = client.rows(&client.job(USAGE, noons, &json!({})), 1, "results");
    assert_eq!(
        rows,
        client.truth("usage", days(DAY + 1, DAY + 2)),
        "the one day that begins in between"
    );
    error_message(&client.get(LATER, uri.trim_end_matches("/results")), 405, "method.not.allowed");
}

#[test]
fn a_failed_usage_query_or_audit_has_the_state_failed() {
    let client = JobClient::new(JobSettings { fail_every: 1, ..JobSettings::default() }, 1);
    let audit = client.job(AUDITS, days(DAY, DAY + 1), &json!({}));
    assert_eq!(value(&client.get(LATER, &audit))["state"], "Failed");
    error_message(&client.get(LATER, &format!("{audit}/results")), 400, "bad.request");
    let usage = client.job(USAGE, days(DAY, DAY + 1), &json!({}));
    assert_eq!(
        value(&client.get(LATER, &format!("{usage}/results"))),
        json!({"queryStatus": "Failed"})
    );
}

#[test]
fn unsupported_parts_of_a_query_are_answered_400() {
    let client = job_client();
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
        let reply = client.send(START, Method::POST, path, &body.to_string());
        assert_eq!(reply.status(), 400, "{path} {more}");
        assert!(
            value(&reply)["message"].as_str().unwrap().contains("not simulated"),
            "{path} {more}"
        );
    }
}
