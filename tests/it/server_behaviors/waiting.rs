//! Throttles, and what servers say about how long to wait.

use super::{CASE, Case, expect};

pub(super) const CASES: &[Case] = &[Case { odd: &["throttle-without-a-word"], ..CASE }];

#[test]
fn throttles_cost_what_they_say() {
    expect(CASES);
}
