//! Asynchronous queries: from the POST to the last page.

use std::collections::BTreeSet;

use super::*;

const CONVERSATIONS: &str = "/api/v2/analytics/conversations/details/jobs";
const USERS: &str = "/api/v2/analytics/users/details/jobs";
const AUDITS: &str = "/api/v2/audits/query";
const USAGE: &str = "/api/v2/usage/query";

/// A client of a region.
pub(super) struct JobDesk {
    pub(super) region: Region,
    token: String,
}

impl JobDesk {
    pub(super) fn new(jobs: Jobs, conversations_per_day: u32) -> Self {
        Self::with(Settings { jobs, conversations_per_day, ..Settings::default() })
    }

    pub(super) fn with(settings: Settings) -> Self {
        let region = region(settings);
        Self { token: token(&region, START, "desk"), region }
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
        interval: Interval,
        more: &Value,
    ) -> Response<Bytes> {
        let mut body = json!({"interval": interval.to_string()});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send(now, Method::POST, path, &body.to_string())
    }

    /// Submits a query and gives its path.
    pub(super) fn job(&self, path: &str, interval: Interval, more: &Value) -> String {
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

    pub(super) fn truth(&self, dataset: &str, interval: Interval) -> Vec<Value> {
        let lines: Vec<u8> =
            self.region.truth_of("genesys-cloud", dataset, interval).unwrap().flatten().collect();
        let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

/// When jobs are done.
pub(super) const LATER: Duration = Duration::from_secs(1);

fn page_path(job: &str, cursor: &str, size: usize) -> String {
    let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
    format!("{job}/results?cursor={cursor}&pageSize={size}")
}

fn day() -> Interval {
    days(DAY, DAY + 1)
}

fn none() -> Value {
    json!({})
}

#[test]
fn a_job_is_queued_then_pending_then_fulfilled_and_expires() {
    let jobs = Jobs { kept: Duration::from_secs(10), ..Jobs::default() };
    let desk = JobDesk::new(jobs, 20);
    let job = desk.job(CONVERSATIONS, day(), &none());
    let state = |ms| {
        value(&desk.get(Duration::from_millis(ms), &job))["state"].as_str().unwrap().to_owned()
    };
    let states = [0, 99, 100, 499, 500, 10_499, 10_500].map(state);
    assert_eq!(
        states,
        ["QUEUED", "QUEUED", "PENDING", "PENDING", "FULFILLED", "FULFILLED", "EXPIRED"]
    );
    let results = |ms| desk.get(Duration::from_millis(ms), &format!("{job}/results"));
    assert!(refused(&results(499), 400, "bad.request").contains("PENDING"));
    assert_eq!(results(500).status(), 200);
    refused(&results(10_500), 404, "not.found");
    assert_eq!(
        value(&desk.get(LATER, &job)),
        json!({
            "state": "FULFILLED",
            "submissionDate": "2026-01-01T00:00:00Z",
            "completionDate": "2026-01-01T00:00:00.500Z",
            "expirationDate": "2026-01-01T00:00:10.500Z",
        })
    );
}

#[test]
fn a_job_finds_every_conversation_that_lives_in_its_interval_and_once() {
    let desk = JobDesk::new(Jobs::default(), 400);
    let interval = span(DAY * DAY_MS + 36_000_000, DAY * DAY_MS + 39_600_000);
    let from = interval.from_ms();
    let lives = |row: &Value| row.get("conversationEnd").is_none_or(|end| ms(end) > from);
    let wanted: Vec<_> = desk
        .truth("conversations+attributes", span((DAY - 60) * DAY_MS, interval.to_ms()))
        .into_iter()
        .filter(lives)
        .collect();
    let found = desk.rows(&desk.job(CONVERSATIONS, interval, &none()), 70, "conversations");
    assert_eq!(found, wanted);
    let before = found.iter().filter(|row| ms(&row["conversationStart"]) < DAY * DAY_MS).count();
    assert!(before > 10, "{before} began on an earlier day");
}

#[test]
fn with_start_of_day_matching_a_job_finds_what_the_query_finds() {
    let desk = JobDesk::new(Jobs::default(), 300);
    let interval = span(DAY * DAY_MS + 36_000_000, DAY * DAY_MS + 39_600_000);
    let job = desk.job(CONVERSATIONS, interval, &json!({"startOfDayIntervalMatching": true}));
    let ids =
        |rows: &[Value]| rows.iter().map(|row| row["conversationId"].clone()).collect::<Vec<_>>();
    let found = desk.rows(&job, 1000, "conversations");
    assert!(!found.is_empty());
    assert_eq!(ids(&found), ids(&all(&desk.region, interval, 100, &none())));
    assert!(found.iter().all(|row| ms(&row["conversationStart"]) >= DAY * DAY_MS));
}

#[test]
fn a_job_takes_the_filters_of_the_query_its_order_and_a_limit() {
    let desk = JobDesk::new(Jobs::default(), 200);
    let mut query = json!({
        "segmentFilters": [{"predicates": [{"dimension": "mediaType", "value": "chat"}]}],
        "startOfDayIntervalMatching": true,
        "order": "desc",
    });
    let ids =
        |rows: &[Value]| rows.iter().map(|row| row["conversationId"].clone()).collect::<Vec<_>>();
    let wanted = ids(&all(&desk.region, day(), 100, &query));
    let ask =
        |query: &Value| ids(&desk.rows(&desk.job(CONVERSATIONS, day(), query), 3, "conversations"));
    assert_eq!(ask(&query), wanted);
    query["limit"] = json!(5);
    assert_eq!(ask(&query), wanted[..5]);
    let wrong =
        json!({"segmentFilters": [{"predicates": [{"dimension": "shoeSize", "value": "9"}]}]});
    refused(&desk.submit(START, CONVERSATIONS, day(), &wrong), 400, "bad.request");
    refused(&desk.submit(START, CONVERSATIONS, days(DAY, DAY + 32), &none()), 400, "bad.request");
}

#[test]
fn only_a_job_tells_the_attributes_and_nothing_else_differs() {
    let desk = JobDesk::new(Jobs::default(), 300);
    let plain = truth(&desk.region, day());
    let mut keys = BTreeSet::new();
    let mut with = desk.truth("conversations+attributes", day());
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
fn the_last_page_comes_in_three_ways() {
    let desk = JobDesk::new(Jobs::default(), 10);
    let query = json!({"startOfDayIntervalMatching": true});
    let mut endings = BTreeSet::new();
    for _ in 0..3 {
        let pages = desk.pages(&desk.job(CONVERSATIONS, day(), &query), 5);
        let sizes: Vec<_> =
            pages.iter().map(|page| page["conversations"].as_array().map(Vec::len)).collect();
        assert_eq!(sizes[..2], [Some(5), Some(5)]);
        endings.insert(sizes.get(2).copied());
    }
    assert_eq!(
        endings,
        BTreeSet::from([None, Some(None), Some(Some(0))]),
        "none, without a list, with an empty one"
    );
}

#[test]
fn a_cursor_belongs_to_one_job() {
    let desk = JobDesk::new(Jobs::default(), 30);
    let [one, other] = [0, 1].map(|_| desk.job(CONVERSATIONS, day(), &none()));
    let first = value(&desk.get(LATER, &format!("{one}/results?pageSize=7")));
    let cursor = first["cursor"].as_str().unwrap();
    assert!(cursor.ends_with('='), "{cursor} must be URL-encoded");
    assert_eq!(desk.get(LATER, &page_path(&one, cursor, 7)).status(), 200);
    refused(&desk.get(LATER, &page_path(&other, cursor, 7)), 400, "invalid.value");
    refused(&desk.get(LATER, &page_path(&one, "AAAA", 7)), 400, "invalid.value");
    refused(&desk.get(LATER, &format!("{one}/results?pageSize=2001")), 400, "invalid.value");
    refused(&desk.get(LATER, &format!("{one}/results?pageSize=0")), 400, "invalid.value");
    assert_eq!(desk.get(LATER, &format!("{one}/results?pageSize=2000")).status(), 200);
}

#[test]
fn a_page_has_a_thousand_rows_unless_asked_for_others() {
    let desk = JobDesk::new(Jobs::default(), 1_100);
    let page =
        value(&desk.get(LATER, &format!("{}/results", desk.job(CONVERSATIONS, day(), &none()))));
    assert_eq!(page["conversations"].as_array().unwrap().len(), 1000);
}

#[test]
fn every_nth_job_fails_or_loses_its_results_before_or_while_they_are_fetched() {
    let desk = JobDesk::new(Jobs { fail_every: 5, expire_every: 2, ..Jobs::default() }, 10);
    let jobs: Vec<_> = (0..6).map(|_| desk.job(CONVERSATIONS, day(), &none())).collect();
    let state = |job: &String| value(&desk.get(LATER, job))["state"].as_str().unwrap().to_owned();
    let states = || jobs.iter().map(state).collect::<Vec<_>>();
    assert_eq!(states(), ["FULFILLED", "EXPIRED", "FULFILLED", "FULFILLED", "FAILED", "EXPIRED"]);
    assert!(value(&desk.get(LATER, &jobs[4]))["errorMessage"].is_string());
    refused(&desk.get(LATER, &format!("{}/results", jobs[4])), 400, "bad.request");
    let first = value(&desk.get(LATER, &format!("{}/results?pageSize=2", jobs[3])));
    let next = desk.get(LATER, &page_path(&jobs[3], first["cursor"].as_str().unwrap(), 2));
    refused(&next, 404, "not.found");
    assert_eq!(states()[3], "EXPIRED");
}

#[test]
fn a_deleted_or_unknown_job_is_not_found_and_a_deletion_has_two_statuses() {
    let desk = JobDesk::new(Jobs::default(), 10);
    let jobs = [0, 1].map(|_| desk.job(CONVERSATIONS, day(), &none()));
    let deleted =
        jobs.each_ref().map(|job| desk.send(LATER, Method::DELETE, job, "").status().as_u16());
    assert_eq!(deleted, [200, 204]);
    for path in [
        &jobs[0],
        &format!("{}/results", jobs[1]),
        &format!("{CONVERSATIONS}/x"),
        &format!("{USERS}/x"),
    ] {
        refused(&desk.get(LATER, path), 404, "not.found");
    }
    refused(&desk.send(LATER, Method::DELETE, &jobs[0], ""), 404, "not.found");
    refused(&desk.get(LATER, CONVERSATIONS), 405, "method.not.allowed");
    refused(
        &desk.send(LATER, Method::DELETE, &desk.job(AUDITS, day(), &none()), ""),
        405,
        "method.not.allowed",
    );
    let foreign = desk.job(USERS, day(), &none()).replace(USERS, CONVERSATIONS);
    refused(&desk.get(LATER, &foreign), 404, "not.found");
}

#[test]
fn too_many_jobs_are_refused_with_a_pause_or_without() {
    let jobs = Jobs { concurrent: 2, per_second: 3, ..Jobs::default() };
    let desk = JobDesk::new(jobs, 10);
    let submit = |ms| desk.submit(Duration::from_millis(ms), CONVERSATIONS, day(), &none());
    assert_eq!([submit(0), submit(0)].map(|reply| reply.status().as_u16()), [200, 202]);
    let busy = submit(400);
    refused(&busy, 429, "too.many.requests");
    assert!(!busy.headers().contains_key("retry-after"));
    let fast = submit(500);
    refused(&fast, 429, "too.many.requests.retry.after");
    assert_eq!(fast.headers()["retry-after"], "1");
    assert_eq!(submit(1_000).status(), 200, "both have ended and the second is over");
}

#[test]
fn what_is_not_available_yet_is_silently_missing() {
    let noon = DAY * DAY_MS + DAY_MS / 2;
    let available_until = jiff::Timestamp::from_millisecond(noon).ok();
    let desk = JobDesk::new(Jobs { available_until, ..Jobs::default() }, 300);
    let available = |now| {
        value(&desk.get(now, &format!("{CONVERSATIONS}/availability")))["dataAvailabilityDate"]
            .clone()
    };
    assert_eq!(available(START), "2024-03-18T12:00:00Z");
    assert_eq!(available(Duration::from_millis(90_500)), "2024-03-18T12:01:30.500Z");
    let job = desk.job(CONVERSATIONS, day(), &json!({"startOfDayIntervalMatching": true}));
    let pages = desk.pages(&job, 2000);
    assert_eq!(pages[0]["dataAvailabilityDate"], "2024-03-18T12:00:00Z", "when it was submitted");
    let wanted = desk.truth("conversations+attributes", span(DAY * DAY_MS, noon));
    assert_eq!(pages[0]["conversations"].as_array().unwrap(), &wanted);
    assert_eq!(all(&desk.region, day(), 100, &none()).len(), 300, "the query knows all");
    let everything = JobDesk::new(Jobs::default(), 1);
    let date =
        value(&everything.get(START, &format!("{USERS}/availability")))["dataAvailabilityDate"]
            .clone();
    assert!(ms(&date) > (DAY + 1_000_000) * DAY_MS);
}

#[test]
fn whoever_lacks_the_permission_is_told_which() {
    for (path, permission) in [
        (CONVERSATIONS, "analytics:conversationDetail:view"),
        (USERS, "analytics:userDetail:view"),
        (AUDITS, "audits:audit:view"),
        (USAGE, "usage:organization:view"),
    ] {
        let desk =
            JobDesk::with(Settings { deny: vec![permission.to_owned()], ..Settings::default() });
        for reply in [
            desk.submit(START, path, day(), &none()),
            desk.get(START, &format!("{path}/x/results")),
        ] {
            assert!(refused(&reply, 403, "missing.permissions").contains(permission));
        }
    }
    let desk = JobDesk::with(Settings {
        deny: vec!["analytics:userDetail:view".to_owned()],
        ..Settings::default()
    });
    refused(
        &desk.submit(START, USERS.replace("jobs", "query").as_str(), day(), &none()),
        403,
        "missing.permissions",
    );
}
