//! Replies that attack their client.

use std::time::Duration;

use super::{CASE, Case, Rows, expect};

/// Queues by links to the next page.
const LINKED: &str = r#"
[dataset.linked]
version = 1
id = "id"
time = "seen"
snapshot = true
columns = "queue"

[dataset.linked.query]
path = "/api/v2/routing/queues"
query = { pageSize = "{page_size}" }
page_size = 10
rows = "/entities"
paging = "next-link"
next = "/nextUri"

[type.queue]
id = "string"
name = "string"
seen = "timestamp"
"#;

/// Nothing is fetched, and the run says why.
const REFUSED: Case = Case { code: 1, rows: Rows::None, ..CASE };

/// The queues of [`LINKED`].
const OF_LINKS: Case = Case {
    catalog: LINKED,
    settings: &["job.datasets=[\"linked\"]"],
    dataset: ("linked", "id"),
    ..REFUSED
};

/// Jobs in place of queries.
const OF_JOBS: Case = Case {
    settings: &["fetch.strategy=job"],
    most_requests: 200,
    // ten seconds of pauses between polls
    most_time: Duration::from_secs(40),
    ..REFUSED
};

/// All rows that can be decoded, and a doubtful interval for the others.
const OF_BAD_ROWS: Case =
    Case { settings: &["fetch.strategy=query"], code: 1, says: &["quarantine"], ..CASE };

pub(super) const CASES: &[Case] = &[
    Case {
        hostile: &["echoed-secrets"],
        settings: &["auth.client_secret=hush-hush/0123+9", "retry.attempts=2"],
        says: &["[secret]"],
        // the secret as it is, in base64 and by bytes
        never_says: &["hush-hush", "aHVzaC1odXNo", "h1c2gtaHVza", "687573682d", "%68%75%73%68"],
        code: 4,
        ..REFUSED
    },
    Case {
        hostile: &["job-named-after-a-token"],
        says: &["the id of the job holds a secret"],
        ..OF_JOBS
    },
    Case { hostile: &["rows-that-quote-secrets"], says: &["2 rows"], ..OF_BAD_ROWS },
    Case {
        hostile: &["control-characters-in-errors"],
        says: &["no \\u{1b}[2J\\u{9b}31m\\u{202e}drowssap\\u{200b} 2024-01-01 INFO all is well"],
        never_says: &["\n2024-01-01 INFO"],
        ..REFUSED
    },
    Case {
        hostile: &["control-characters-in-jobs"],
        says: &["FAILED \\u{1b}[2J\\u{9b}31m\\u{202e}drowssap"],
        ..OF_JOBS
    },
    Case {
        hostile: &["control-characters-in-links"],
        says: &["`https://x y\\u{1b}[2J"],
        ..OF_LINKS
    },
    Case {
        hostile: &["link-to-another-host"],
        says: &["https://attacker.example, which the configuration does not name"],
        ..OF_LINKS
    },
    Case {
        hostile: &["token-redirect-to-another-host"],
        settings: &["retry.attempts=2"],
        says: &["the server answered 307"],
        code: 3,
        most_requests: 1,
        ..REFUSED
    },
    Case {
        hostile: &["redirect-to-another-host"],
        says: &["the server answered 307"],
        most_requests: 5,
        ..REFUSED
    },
    Case { hostile: &["gzip-bomb"], most_requests: 100, ..CASE },
    Case { hostile: &["endless-body"], most_requests: 100, ..CASE },
    Case {
        hostile: &["endless-token"],
        settings: &["retry.attempts=2"],
        says: &["larger than fetch.max_body"],
        code: 4,
        most_requests: 2,
        ..REFUSED
    },
    Case { hostile: &["slow-body"], settings: &["fetch.timeout=1s"], ..CASE },
    Case { hostile: &["early-close"], ..CASE },
    Case { hostile: &["invalid-status-line"], ..CASE },
    Case { hostile: &["header-flood"], ..CASE },
    Case { hostile: &["endless-header"], ..CASE },
    Case { hostile: &["long-content-length"], ..CASE },
    Case { hostile: &["short-content-length"], ..CASE },
    Case { hostile: &["nul-bytes"], ..CASE },
    // such pages bisect their shard before it fails
    Case {
        hostile: &["deep-nesting"],
        says: &["the response cannot be read", "sample of its parts failed alike"],
        most_requests: 150,
        ..REFUSED
    },
    // the row is kept: its lists fit no column, and are in `_extra`
    Case {
        hostile: &["deep-rows"],
        settings: &["fetch.strategy=query"],
        says: &["values that do not fit their column"],
        rows: Rows::Count(201),
        ..CASE
    },
    Case {
        hostile: &["page-of-empty-objects"],
        says: &["20000", "quarantine"],
        most_time: Duration::from_secs(5),
        ..OF_BAD_ROWS
    },
    Case {
        hostile: &["page-of-zeros"],
        says: &["2000000", "quarantine"],
        most_mib: 150,
        ..OF_BAD_ROWS
    },
    Case { hostile: &["personal-errors"], says: &["no participant tel:+49304711000"], ..REFUSED },
    Case { hostile: &["personal-jobs"], says: &["FAILED tel:+49304711000"], ..OF_JOBS },
    Case { hostile: &["personal-retries"], ..CASE },
    Case { hostile: &["personal-rows"], says: &["5 rows", "quarantine"], ..OF_BAD_ROWS },
    Case { hostile: &["rows-with-bad-bytes"], says: &["3 rows", "quarantine"], ..OF_BAD_ROWS },
    Case { hostile: &["huge-numbers"], ..CASE },
    Case {
        odd: &["token-with-line-ends"],
        says: &["stated=\"soon\"", "the lifetime of the token is not a number of seconds"],
        ..CASE
    },
    Case {
        hostile: &["token-with-a-header"],
        settings: &["retry.attempts=2"],
        says: &["access_token has a character that a header cannot carry"],
        code: 4,
        most_requests: 2,
        most_time: Duration::from_secs(10),
        ..REFUSED
    },
];

#[test]
fn hostile_replies_do_no_harm() {
    expect(CASES);
}
