//! `[budget]`: the rate limit of the API.

use std::{num::NonZeroU32, sync::Arc};

use serde::Deserialize;

use crate::{
    catalog::Catalog,
    config::{
        layers::{ConfigError, Layers},
        values::{DurationText, PercentText, positive},
    },
    http::rate_limit::{QuotaSettings, RequestLimit},
    platform::Platform,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetSection {
    requests: u32,
    per: DurationText,
    burst: Option<NonZeroU32>,
    share: PercentText,
}

impl BudgetSection {
    /// `in_flight` is the largest number of requests in flight at once.
    pub(super) fn check(
        &self,
        platform: Platform,
        in_flight: usize,
        catalog: &Catalog,
        layers: &Layers,
    ) -> Result<QuotaSettings, ConfigError> {
        let per = positive(self.per, "budget.per", layers)?;
        let limit = NonZeroU32::new(self.requests).map(|requests| RequestLimit {
            requests,
            per,
            burst: self.burst,
        });
        Ok(QuotaSettings {
            limit,
            share: self.share.0,
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            dialect: platform.profile().dialect,
            own: catalog.buckets.iter().map(|(name, limit)| (Arc::clone(name), *limit)).collect(),
        })
    }
}
