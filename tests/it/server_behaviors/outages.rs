//! Servers, networks and certificates that fail.

use std::time::Duration;

use super::{CASE, Case, Rows, expect};

const LATENCY: &str =
    "sandbox.latency={ base = \"400ms\", jitter = \"0s\", capacity = 0, steps = [] }";

pub(super) const CASES: &[Case] = &[
    Case { odd: &["maintenance"], settings: &["retry.first=300ms", "retry.longest=1s"], ..CASE },
    Case {
        odd: &["outage"],
        sandbox: &[LATENCY],
        // it lasts for five seconds without the outage
        settings: &["fetch.ahead=1", "retry.first=300ms", "retry.longest=1s"],
        says: &["outage: no request is answered", "the outage has ended"],
        ..CASE
    },
    Case {
        sandbox: &["sandbox.fail_every=1"],
        code: 4,
        rows: Rows::None,
        says: &["no request of this run has succeeded"],
        ..CASE
    },
    Case {
        odd: &["broken-query"],
        settings: &["fetch.strategy=query"],
        code: 1,
        rows: Rows::None,
        says: &["the server answered 500"],
        never_says: &["outage", "panicked"],
        ..CASE
    },
    Case {
        odd: &["slow-query"],
        settings: &["fetch.strategy=query"],
        code: 1,
        rows: Rows::None,
        says: &["the server answered 504", "sample of its parts failed alike"],
        never_says: &["outage", "panicked"],
        most_requests: 150,
        ..CASE
    },
    Case {
        odd: &["page-of-a-proxy"],
        settings: &["fetch.strategy=query"],
        code: 1,
        rows: Rows::None,
        says: &["the response cannot be read", "sample of its parts failed alike"],
        most_requests: 150,
        ..CASE
    },
    Case {
        hostile: &["huge-replies"],
        settings: &["fetch.strategy=query", "fetch.max_body=512KiB"],
        code: 1,
        rows: Rows::None,
        never_says: &["no run has fetched it yet", "panicked"],
        says: &["larger than fetch.max_body", "sample of its parts failed alike"],
        most_requests: 400,
        most_time: Duration::from_secs(40),
        ..CASE
    },
];

#[test]
fn outages_are_waited_out_or_named() {
    expect(CASES);
}
