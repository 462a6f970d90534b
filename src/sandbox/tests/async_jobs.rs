//! Asynchronous queries, from the submission to the last page.

use std::collections::BTreeSet;

use super::*;

const CONVERSATIONS: &str = "/api/v2/analytics/conversations/details/jobs";
const USERS: &str = "/api/v2/analytics/users/details/jobs";
const AUDITS: &str = "/api/v2/audits/query";
const USAGE: &str = "/api/v2/usage/query";

/// A region and a client of it.
pub(super) struct JobClient {
    pub(super) region: Region,
    token: String,
}

impl JobClient {
    pub(super) fn new(jobs: JobSettings, conversations_per_day: u32) -> Self {
        Self::with(Settings { jobs, conversations_per_day, ..Settings::default() })
    }

    pub(super) fn with(settings: Settings) -> Self {
        let region = region(settings);
        Self { token: token(&region, START, "client"), region }
    }

    pub(super) fn send(
        &self,
        now: Duration,
        method: Method,
        path: &str,
        body: &str,
    ) -> Response<Bytes> {
        let headers = [
            ("authorization", &*format!("Bearer {}", self.token)),
            ("content-type", "application/json"),
        ];
        self.region.reply(now, &request(method, path, &headers, body))
    }

    pub(super) fn get(&self, now: Duration, path: &str) -> Response<Bytes> {
        self.send(now, Method::GET, path, "")
    }

    fn submit(
        &self,
        now: Duration,
        path: &str,
        interval: TimeRange,
        more: &Value,
    ) -> Response<Bytes> {
        let mut body = json!({"interval": interval.to_string()});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send(now, Method::POST, path, &body.to_string())
    }

    /// Submits a query and returns the path of its job.
    pub(super) fn job(&self, path: &str, interval: TimeRange, more: &Value) -> String {
        let reply = value(&self.submit(START, path, interval, more));
        let id = ["jobId", "id", "executionId"].into_iter().find_map(|key| reply[key].as_str());
        format!("{path}/{}", id.unwrap_or_else(|| panic!("{reply}")))
    }

    /// The pages of a job.
    pub(super) fn pages(&self, job: &str, size: usize) -> Vec<Value> {
        let mut pages = vec![value(&self.get(LATER, &format!("{job}/results?pageSize={size}")))];
        while let Some(cursor) = pages[pages.len() - 1].get("cursor").and_then(Value::as_str) {
            pages.push(value(&self.get(LATER, &page_path(job, cursor, size))));
        }
        pages
    }

    /// The rows of a job.
    pub(super) fn rows(&self, job: &str, size: usize, key: &str) -> Vec<Value> {
        self.pages(job, size)
            .iter()
            .filter_map(|page| page[key].as_array())
            .flatten()
            .cloned()
            .collect()
    }

    pub(super) fn truth(&self, dataset: &str, interval: TimeRange) -> Vec<Value> {
        truth_of(&self.region, dataset, interval)
    }
}

/// A time at which jobs are done.
pub(super) const LATER: Duration = Duration::from_secs(1);

fn page_path(job: &str, cursor: &str, size: usize) -> String {
    let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
    format!("{job}/results?cursor={cursor}&pageSize={size}")
}

fn day() -> TimeRange {
    days(DAY, DAY + 1)
}

fn no_options() -> Value {
    json!({})
}

#[test]
fn a_job_is_queued_then_pending_then_fulfilled_and_expires() {
    let jobs = JobSettings { kept: Duration::from_secs(10), ..JobSettings::default() };
    let client = JobClient::new(jobs, 20);
    let job = client.job(CONVERSATIONS, day(), &no_options());
    let state = |ms| {
        value(&client.get(Duration::from_millis(ms), &job))["state"].as_str().unwrap().to_owned()
    };
    let states = [0, 99, 100, 499, 500, 10_499, 10_500].map(state);
    assert_eq!(
        states,
        ["QUEUED", "QUEUED", "PENDING", "PENDING", "FULFILLED", "FULFILLED", "EXPIRED"]
    );
    let results = |ms| client.get(Duration::from_millis(ms), &format!("{job}/results"));
    assert!(error_message(&results(499), 400, "bad.request").contains("PENDING"));
    assert_eq!(results(500).status(), 200);
    error_message(&results(10_500), 404, "not.found");
    assert_eq!(
        value(&client.get(LATER, &job)),
        json!({
            "state": "FULFILLED",
            "submissionDate": "2026-01-01T00:00:00Z",
            "completionDate": "2026-01-01T00:00:00.500Z",
            "expirationDate": "2026-01-01T00:00:10.500Z",
        })
    );
}

#[test]
fn a_job_finds_every_conversation_that_overlaps_its_interval_once() {
    let client = JobClient::new(JobSettings::default(), 400);
    let interval = range(DAY * DAY_MS + 36_000_000, DAY * DAY_MS + 39_600_000);
    let from = interval.from;
    let overlaps = |row: &Value| row.get("conversationEnd").is_none_or(|end| ms(end) > from);
    let expected: Vec<_> = client
        .truth("conversations+attributes", range((DAY - 60) * DAY_MS, interval.to))
        .into_iter()
        .filter(overlaps)
        .collect();
    let found =
        client.rows(&client.job(CONVERSATIONS, interval, &no_options()), 70, "conversations");
    assert_eq!(found, expected);
    let before = found.iter().filter(|row| ms(&row["conversationStart"]) < DAY * DAY_MS).count();
    assert!(before > 10, "{before} began on an earlier day");
}

#[test]
fn with_start_of_day_matching_a_job_finds_what_the_query_finds() {
    let client = JobClient::new(JobSettings::default(), 300);
    let interval = range(DAY * DAY_MS + 36_000_000, DAY * DAY_MS + 39_600_000);
    let job = client.job(CONVERSATIONS, interval, &json!({"startOfDayIntervalMatching": true}));
    let ids =
        |rows: &[Value]| rows.iter().map(|row| row["conversationId"].clone()).collect::<Vec<_>>();
    let found = client.rows(&job, 1000, "conversations");
    assert!(!found.is_empty());
    assert_eq!(ids(&found), ids(&all_pages(&client.region, interval, 100, &no_options())));
    assert!(found.iter().all(|row| ms(&row["conversationStart"]) >= DAY * DAY_MS));
}

#[test]
fn a_job_accepts_the_filters_and_order_of_the_query_and_a_limit() {
    let client = JobClient::new(JobSettings::default(), 200);
    let mut query = json!({
        "segmentFilters": [{"predicates": [{"dimension": "mediaType", "value": "chat"}]}],
        "startOfDayIntervalMatching": true,
        "order": "desc",
    });
    let ids =
        |rows: &[Value]| rows.iter().map(|row| row["conversationId"].clone()).collect::<Vec<_>>();
    let expected = ids(&all_pages(&client.region, day(), 100, &query));
    let fetch = |query: &Value| {
        ids(&client.rows(&client.job(CONVERSATIONS, day(), query), 3, "conversations"))
    };
    assert_eq!(fetch(&query), expected);
    query["limit"] = json!(5);
    assert_eq!(fetch(&query), expected[..5]);
    let wrong =
        json!({"segmentFilters": [{"predicates": [{"dimension": "shoeSize", "value": "9"}]}]});
    error_message(&client.submit(START, CONVERSATIONS, day(), &wrong), 400, "bad.request");
    error_message(
        &client.submit(START, CONVERSATIONS, days(DAY, DAY + 32), &no_options()),
        400,
        "bad.request",
    );
}

#[test]
fn the_results_of_a_job_differ_from_the_query_only_by_attributes() {
    let client = JobClient::new(JobSettings::default(), 300);
    let plain = truth(&client.region, day());
    let mut keys = BTreeSet::new();
    let mut with = client.truth("conversations+attributes", day());
    for participant in with.iter_mut().flat_map(|row| row["participants"].as_array_mut().unwrap()) {
        if let Some(attributes) = participant.as_object_mut().unwrap().remove("attributes") {
            assert!(
                attributes.as_object().unwrap().values().all(|v| v
                    .as_str()
                    .unwrap()
                    .chars()
                    .count()
                    <= 1024)
            );
            keys.extend(attributes.as_object().unwrap().keys().cloned());
        }
    }
    assert_eq!(with, plain);
    for odd in ["customer tier", "Customer.Tier", "2nd choice", "trailing blank "] {
        assert!(keys.contains(odd), "{odd:?} among {keys:?}");
    }
}

#[test]
fn the_last_page_has_three_forms() {
    let client = JobClient::new(JobSettings::default(), 10);
    let query = json!({"startOfDayIntervalMatching": true});
    let mut endings = BTreeSet::new();
    for _ in 0..3 {
        let pages = client.pages(&client.job(CONVERSATIONS, day(), &query), 5);
        let sizes: Vec<_> =
            pages.iter().map(|page| page["conversations"].as_array().map(Vec::len)).collect();
        assert_eq!(sizes[..2], [Some(5), Some(5)]);
        endings.insert(sizes.get(2).copied());
    }
    assert_eq!(
        endings,
        BTreeSet::from([None, Some(None), Some(Some(0))]),
        "no page, a page without a list, one with an empty list"
    );
}

#[test]
fn a_cursor_belongs_to_one_job() {
    let client = JobClient::new(JobSettings::default(), 30);
    let [one, other] = [0, 1].map(|_| client.job(CONVERSATIONS, day(), &no_options()));
    let first = value(&client.get(LATER, &format!("{one}/results?pageSize=7")));
    let cursor = first["cursor"].as_str().unwrap();
    assert!(cursor.ends_with('='), "{cursor} must be URL-encoded");
    assert_eq!(client.get(LATER, &page_path(&one, cursor, 7)).status(), 200);
    error_message(&client.get(LATER, &page_path(&other, cursor, 7)), 400, "invalid.value");
    error_message(&client.get(LATER, &page_path(&one, "AAAA", 7)), 400, "invalid.value");
    error_message(
        &client.get(LATER, &format!("{one}/results?pageSize=2001")),
        400,
        "invalid.value",
    );
    error_message(&client.get(LATER, &format!("{one}/results?pageSize=0")), 400, "invalid.value");
    assert_eq!(client.get(LATER, &format!("{one}/results?pageSize=2000")).status(), 200);
}

#[test]
fn a_page_has_a_thousand_rows_by_default() {
    let client = JobClient::new(JobSettings::default(), 1_100);
    let page = value(
        &client.get(LATER, &format!("{}/results", client.job(CONVERSATIONS, day(), &no_options()))),
    );
    assert_eq!(page["conversations"].as_array().unwrap().len(), 1000);
}

#[test]
fn every_nth_job_fails_or_loses_its_results_too_early() {
    let client = JobClient::new(
        JobSettings { fail_every: 5, expire_every: 2, ..JobSettings::default() },
        10,
    );
    let jobs: Vec<_> = (0..6).map(|_| client.job(CONVERSATIONS, day(), &no_options())).collect();
    let state = |job: &String| value(&client.get(LATER, job))["state"].as_str().unwrap().to_owned();
    let states = || jobs.iter().map(state).collect::<Vec<_>>();
    assert_eq!(states(), ["FULFILLED", "EXPIRED", "FULFILLED", "FULFILLED", "FAILED", "EXPIRED"]);
    assert!(value(&client.get(LATER, &jobs[4]))["errorMessage"].is_string());
    error_message(&client.get(LATER, &format!("{}/results", jobs[4])), 400, "bad.request");
    let first = value(&client.get(LATER, &format!("{}/results?pageSize=2", jobs[3])));
    let next = client.get(LATER, &page_path(&jobs[3], first["cursor"].as_str().unwrap(), 2));
    error_message(&next, 404, "not.found");
    assert_eq!(states()[3], "EXPIRED");
}

#[test]
fn a_deleted_or_unknown_job_is_answered_404_and_a_deletion_has_two_statuses() {
    let client = JobClient::new(JobSettings::default(), 10);
    let jobs = [0, 1].map(|_| client.job(CONVERSATIONS, day(), &no_options()));
    let deleted =
        jobs.each_ref().map(|job| client.send(LATER, Method::DELETE, job, "").status().as_u16());
    assert_eq!(deleted, [200, 204]);
    for path in [
        &jobs[0],
        &format!("{}/results", jobs[1]),
        &format!("{CONVERSATIONS}/x"),
        &format!("{USERS}/x"),
    ] {
        error_message(&client.get(LATER, path), 404, "not.found");
    }
    error_message(&client.send(LATER, Method::DELETE, &jobs[0], ""), 404, "not.found");
    error_message(&client.get(LATER, CONVERSATIONS), 405, "method.not.allowed");
    error_message(
        &client.send(LATER, Method::DELETE, &client.job(AUDITS, day(), &no_options()), ""),
        405,
        "method.not.allowed",
    );
    let foreign = client.job(USERS, day(), &no_options()).replace(USERS, CONVERSATIONS);
    error_message(&client.get(LATER, &foreign), 404, "not.found");
}

#[test]
fn too_many_jobs_are_answered_429_with_or_without_retry_after() {
    let jobs = JobSettings { concurrent: 2, per_second: 3, ..JobSettings::default() };
    let client = JobClient::new(jobs, 10);
    let submit = |ms| client.submit(Duration::from_millis(ms), CONVERSATIONS, day(), &no_options());
    assert_eq!([submit(0), submit(0)].map(|reply| reply.status().as_u16()), [200, 202]);
    let busy = submit(400);
    error_message(&busy, 429, "too.many.requests");
    assert!(!busy.headers().contains_key("retry-after"));
    let fast = submit(500);
    error_message(&fast, 429, "too.many.requests.retry.after");
    assert_eq!(fast.headers()["retry-after"], "1");
    assert_eq!(submit(1_000).status(), 200, "both have ended and the second is over");
}

#[test]
fn rows_that_are_not_available_yet_are_missing_from_jobs() {
    let noon = DAY * DAY_MS + DAY_MS / 2;
    let available_until = jiff::Timestamp::from_millisecond(noon).ok();
    let client = JobClient::new(JobSettings { available_until, ..JobSettings::default() }, 300);
    let available = |now| {
        value(&client.get(now, &format!("{CONVERSATIONS}/availability")))["dataAvailabilityDate"]
            .clone()
    };
    assert_eq!(available(START), "2024-03-18T12:00:00Z");
    assert_eq!(available(Duration::from_millis(90_500)), "2024-03-18T12:01:30.500Z");
    let job = client.job(CONVERSATIONS, day(), &json!({"startOfDayIntervalMatching": true}));
    let pages = client.pages(&job, 2000);
    assert_eq!(pages[0]["dataAvailabilityDate"], "2024-03-18T12:00:00Z", "when it was submitted");
    let expected = client.truth("conversations+attributes", range(DAY * DAY_MS, noon));
    assert_eq!(pages[0]["conversations"].as_array().unwrap(), &expected);
    assert_eq!(
        all_pages(&client.region, day(), 100, &no_options()).len(),
        300,
        "the query knows all"
    );
    let everything = JobClient::new(JobSettings::default(), 1);
    let date =
        value(&everything.get(START, &format!("{USERS}/availability")))["dataAvailabilityDate"]
            .clone();
    assert!(ms(&date) > (DAY + 1_000_000) * DAY_MS);
}

#[test]
fn a_missing_permission_is_named() {
    for (path, permission) in [
        (CONVERSATIONS, "analytics:conversationDetail:view"),
        (USERS, "analytics:userDetail:view"),
        (AUDITS, "audits:audit:view"),
        (USAGE, "usage:organization:view"),
    ] {
        let client =
            JobClient::with(Settings { deny: vec![permission.to_owned()], ..Settings::default() });
        for reply in [
            client.submit(START, path, day(), &no_options()),
            client.get(START, &format!("{path}/x/results")),
        ] {
            assert!(error_message(&reply, 403, "missing.permissions").contains(permission));
        }
    }
    let client = JobClient::with(Settings {
        deny: vec!["analytics:userDetail:view".to_owned()],
        ..Settings::default()
    });
    error_message(
        &client.submit(START, USERS.replace("jobs", "query").as_str(), day(), &no_options()),
        403,
        "missing.permissions",
    );
}
