//! Pages that mean something else than they seem to, or say it in another form.

use super::{CASE, Case, Rows, expect};

pub(super) const CASES: &[Case] = &[
    Case { odd: &["byte-order-mark"], ..CASE },
    Case {
        odd: &["byte-order-mark"],
        settings: &["job.datasets=[\"queues\"]"],
        dataset: ("queues", "id"),
        rows: Rows::Count(24),
        ..CASE
    },
];

#[test]
fn the_rows_of_odd_pages_are_fetched_or_named() {
    expect(CASES);
}
