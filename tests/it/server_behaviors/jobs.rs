//! What servers do with asynchronous jobs, and with requests that are made once for each parent.

use super::{Case, expect};

pub(super) const CASES: &[Case] = &[];

#[test]
fn odd_jobs_and_parents_cost_themselves_alone() {
    expect(CASES);
}
