//! Servers, networks and certificates that fail.

use super::{CASE, Case, Rows, expect};

pub(super) const CASES: &[Case] = &[
    Case { odd: &["maintenance"], ..CASE },
    Case { sandbox: &["sandbox.fail_every=1"], code: 1, rows: Rows::None, ..CASE },
];

#[test]
fn outages_are_waited_out_or_named() {
    expect(CASES);
}
