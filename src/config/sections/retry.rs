//! `[retry]`: when requests are retried.

use std::num::NonZeroU32;

use serde::Deserialize;

use crate::{config::values::DurationText, http::retry::RetryPolicy};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetrySection {
    attempts: NonZeroU32,
    first: DurationText,
    longest: DurationText,
    give_up_after: DurationText,
    outage: DurationText,
    pub give_up_dataset_after: NonZeroU32,
}

impl RetrySection {
    pub(super) fn policy(&self) -> RetryPolicy {
        RetryPolicy {
            attempts: self.attempts.get(),
            first: self.first.0,
            longest: self.longest.0,
            give_up_after: self.give_up_after.0,
            outage: self.outage.0,
        }
    }
}
