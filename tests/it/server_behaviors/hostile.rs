//! Replies that attack their client.

use std::time::Duration;

use super::{CASE, Case, expect};

pub(super) const CASES: &[Case] = &[
    Case {
        hostile: &["page-of-empty-objects"],
        settings: &["fetch.strategy=query"],
        code: 1,
        says: &["20000", "quarantine"],
        most_time: Duration::from_secs(5),
        ..CASE
    },
    Case {
        hostile: &["page-of-zeros"],
        settings: &["fetch.strategy=query"],
        code: 1,
        says: &["2000000", "quarantine"],
        most_mib: 150,
        ..CASE
    },
    Case {
        hostile: &["rows-with-bad-bytes"],
        settings: &["fetch.strategy=query"],
        code: 1,
        says: &["3 rows", "quarantine"],
        ..CASE
    },
];

#[test]
fn hostile_replies_do_no_harm() {
    expect(CASES);
}
