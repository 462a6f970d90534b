//! What servers do with asynchronous jobs, and with requests that are made once for each parent.

use super::{CASE, Case, Rows, expect};

/// So many conversations that a job needs fewer requests than the query.
const JOB: Case = Case {
    sandbox: &["sandbox.conversations_per_day=1000", "sandbox.jobs.queued=100ms"],
    settings: &["fetch.page_size=1000", "retry.attempts=2"],
    ..CASE
};

/// A dataset whose rows only a job brings.
const ONLY_JOBS: &[&str] = &["fetch.page_size=1000", "retry.attempts=2", "fetch.attributes=true"];

/// The result of a job has to be downloaded.
const DOWNLOAD: &str = r#"
[dataset.extracts]
version = 1
id      = "conversationId"
time    = "conversationStart"
columns = "row"

[dataset.extracts.job]
submit   = { path = "/api/v2/analytics/conversations/details/jobs", body = { interval = "{interval}" }, task = "/jobId" }
poll     = { path = "/api/v2/analytics/conversations/details/jobs/{task}", state = "/state", done = ["FULFILLED"], pending = ["QUEUED", "PENDING"] }
rows     = "/conversations"
download = "/downloadUrl"

[type.row]
conversationId    = "string"
conversationStart = "timestamp"
"#;

/// The members of 24 queues, 60 of them of the queue whose id begins with `d`.
const MEMBERS: Case = Case {
    settings: &["job.datasets=[\"queue-members\"]", "fetch.page_size=100", "retry.attempts=2"],
    dataset: ("queue-members", "id"),
    code: 1,
    rows: Rows::Count(2_820 - 60),
    most_requests: 80,
    ..CASE
};

const ONE_OF_24: &[&str] = &[
    "failed-parents",
    "the rows of 1 of the queues are missing",
    "dd53e9a7-804d-43e1-9577-08b7cdee3fc8",
    "queue-members 20",
];

/// A data extraction of NICE CXone that may be submitted as often as one likes.
const EXTRACTION: Case = Case {
    settings: &["source.platform=nice-cxone", "job.datasets=[\"qm-workflows\"]"],
    catalog: "[bucket.data-extraction]\nrequests = 100\nper = '1s'\n",
    dataset: ("qm-workflows", "workflowId"),
    ..CASE
};

const CANNOT: &str = "the job cannot be had; using the query";

pub(super) const CASES: &[Case] = &[
    Case { odd: &["job-cancelled"], says: &["CANCELLED", CANNOT], ..JOB },
    Case { odd: &["job-paused"], says: &["PAUSED"], never_says: &["panicked", CANNOT], ..JOB },
    Case { odd: &["submit-forbidden"], says: &[CANNOT], ..JOB },
    Case { odd: &["submit-fails"], says: &[CANNOT], ..JOB },
    Case {
        odd: &["submit-forbidden"],
        settings: ONLY_JOBS,
        code: 3,
        rows: Rows::None,
        says: &["analytics:conversationDetail:view"],
        never_says: &["panicked", CANNOT],
        ..JOB
    },
    Case {
        odd: &["submit-fails"],
        settings: ONLY_JOBS,
        code: 1,
        rows: Rows::None,
        says: &["the server answered 500"],
        never_says: &["panicked", CANNOT],
        ..JOB
    },
    Case { odd: &["submit-reply-cut"], says: &["the platform may keep a job"], ..JOB },
    Case {
        odd: &["job-without-address"],
        settings: &["job.datasets=[\"extracts\"]"],
        catalog: DOWNLOAD,
        dataset: ("extracts", "conversationId"),
        code: 1,
        rows: Rows::None,
        says: &["there is no address of its result at /downloadUrl"],
        most_requests: 10,
        ..CASE
    },
    Case { odd: &["submit-forbidden-at-first"], rows: Rows::Count(83), ..EXTRACTION },
    Case {
        odd: &["submit-forbidden"],
        code: 3,
        rows: Rows::None,
        says: &["QM Workflow API"],
        most_requests: 5,
        ..EXTRACTION
    },
    Case { odd: &["narrow-intervals"], says: &["may not exceed 6 hours"], ..CASE },
    Case {
        odd: &["narrow-intervals"],
        settings: ONLY_JOBS,
        says: &["may not exceed 6 hours"],
        most_requests: 60,
        ..JOB
    },
    Case { odd: &["one-queue-forbidden"], says: ONE_OF_24, ..MEMBERS },
    Case { odd: &["one-queue-invalid"], says: ONE_OF_24, ..MEMBERS },
    Case { odd: &["one-queue-fails"], says: ONE_OF_24, ..MEMBERS },
];

#[test]
fn odd_jobs_and_parents_cost_themselves_alone() {
    expect(CASES);
}
