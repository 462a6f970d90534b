//! Throttles, and what servers say about how long to wait.

use std::time::Duration;

use super::{CASE, Case, Rows, expect};

/// The dataset that some behaviours are about, beside one that goes on.
const WITH_QUEUES: &[&str] = &["job.datasets=[\"conversations\",\"queues\"]"];

pub(super) const CASES: &[Case] = &[
    Case { odd: &["throttle-without-a-word"], ..CASE },
    Case {
        odd: &["retry-after-date"],
        says: &["all requests of the quota pause", "after=1s"],
        ..CASE
    },
    Case {
        odd: &["retry-after-forms"],
        says: &["after=200ms", "after=1s", "after=100ms"],
        most_requests: 60,
        ..CASE
    },
    Case {
        odd: &["forbidden-for-now"],
        says: &["all requests of the quota pause", "after=1s"],
        ..CASE
    },
    Case {
        odd: &["queues-unavailable"],
        settings: WITH_QUEUES,
        code: 1,
        says: &["the request failed 3 times", "/api/v2/routing/queues", "the server answered 503"],
        never_says: &["panicked", "throttled"],
        ..CASE
    },
    Case {
        odd: &["queues-throttled-for-an-hour"],
        settings: WITH_QUEUES,
        code: 1,
        says: &[
            "giving up the dataset for this run",
            "GET /api/v2/routing/queues throttles for longer than retry.give_up_after",
            "it asks to wait 3600 s",
        ],
        ..CASE
    },
    Case {
        odd: &["queues-throttled-for-ever"],
        settings: WITH_QUEUES,
        code: 1,
        says: &[
            "giving up the dataset for this run",
            "GET /api/v2/routing/queues throttles for longer than retry.give_up_after",
            "it asks to wait 31622400 s",
        ],
        ..CASE
    },
    Case { odd: &["token-endpoint-fails"], ..CASE },
    Case {
        odd: &["token-error-as-success"],
        code: 3,
        rows: Rows::None,
        says: &["invalid_client: the client is disabled", "check auth.client_id"],
        most_time: Duration::from_secs(5),
        most_requests: 1,
        ..CASE
    },
    Case {
        odd: &["stray-windows"],
        sandbox: &["sandbox.requests=300", "sandbox.per=10s"],
        settings: &["budget.requests=300", "budget.per=10s", "fetch.page_size=2"],
        never_says: &["panicked", "throttled", "the server reports its limit"],
        most_requests: 130,
        ..CASE
    },
];

#[test]
fn whatever_a_server_says_about_waiting_is_waited_for_by_those_whom_it_concerns() {
    expect(CASES);
}
