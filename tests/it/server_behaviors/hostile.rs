//! Replies that attack their client.

use super::{Case, expect};

pub(super) const CASES: &[Case] = &[];

#[test]
fn hostile_replies_do_no_harm() {
    expect(CASES);
}
