//! Which endpoint fetches an interval, and in which shards: whichever needs the fewest requests.
//!
//! Nothing here asks the platform: a plan and a fetcher decide by the same functions, so that what
//! is planned is what is requested.

use std::sync::Arc;

use crate::{
    catalog::Endpoint,
    fetch::{ShardSizing, ShardWidth, Strategy, request_count},
    planning,
    time::interval::{DAY, Interval},
};

/// How the start of an interval is requested.
#[derive(Debug, Clone)]
pub(crate) struct EndpointChoice {
    pub endpoint: Arc<Endpoint>,
    /// What is requested at once. The rest becomes another shard.
    pub interval: Interval,
}

impl<'a> ShardSizing<'a> {
    /// The endpoints that the configuration allows: the query, the job.
    pub(crate) fn endpoints(&self) -> (Option<&'a Arc<Endpoint>>, Option<&'a Arc<Endpoint>>) {
        let (query, job) = (self.dataset.query.as_ref(), self.dataset.job.as_ref());
        // some columns are only in the results of jobs
        let needs_job = self.settings.strategy == Strategy::Job || self.dataset.has_extras();
        match (query, job) {
            (Some(_), Some(job)) if needs_job => (None, Some(job)),
            (Some(query), Some(_)) if self.settings.strategy == Strategy::Query => {
                (Some(query), None)
            }
            both => both,
        }
    }

    /// The shards of an interval that is to be fetched.
    pub(crate) fn shards(&self, interval: Interval) -> Vec<Interval> {
        let fixed = match self.settings.shard {
            ShardWidth::Fixed(width) => Some(width),
            // the rows of such datasets depend on the width
            ShardWidth::Auto if planning::is_committed_whole(self.dataset) => Some(DAY),
            ShardWidth::Auto => None,
        };
        if let Some(width) = fixed {
            let width = self.dataset.widest_shard(width, self.has_filter);
            return interval.split(width).collect();
        }
        self.parts(interval, |rest| self.planned(rest)).map(|part| part.interval).collect()
    }

    /// The requests that a shard needs, without retries. `None` if the number of rows is not known.
    pub(crate) fn requests(&self, shard: Interval) -> Option<u64> {
        self.parts(shard, |rest| self.cheapest(rest)).map(|part| self.requests_of(&part)).sum()
    }

    /// Whether a job fetches a part of a shard.
    pub(crate) fn uses_job(&self, shard: Interval) -> bool {
        self.parts(shard, |rest| self.cheapest(rest)).any(|part| part.endpoint.async_job.is_some())
    }

    /// The first part of a shard that is requested at once, and its endpoint: of two the one with
    /// fewer requests; of equals, or where the rows are not known, the query, which answers at
    /// once.
    pub(crate) fn cheapest(&self, shard: Interval) -> EndpointChoice {
        match self.endpoints() {
            (Some(query), Some(job)) => {
                let by_query = self.choice(query, shard);
                let Some(readable) = self.readable_by_job(shard) else { return by_query };
                let by_job = self.choice(job, readable);
                let with_query = self.parts(by_job.interval, |rest| self.choice(query, rest));
                let by_queries: Option<u64> = with_query.map(|part| self.requests_of(&part)).sum();
                match (self.requests_of(&by_job), by_queries) {
                    (Some(of_job), Some(of_queries)) if of_job < of_queries => by_job,
                    _ => by_query,
                }
            }
            (query, job) => self.choice(query.or(job).unwrap_or(self.dataset.endpoint()), shard),
        }
    }

    /// The part of a shard that jobs can read. `None` if there is none, or if the shard cannot be
    /// cut.
    pub(crate) fn readable_by_job(&self, shard: Interval) -> Option<Interval> {
        if self.job_data_until_ms >= shard.to_ms() {
            return Some(shard);
        }
        let last_day = Interval::day_of(self.job_data_until_ms.max(shard.from_ms()));
        Interval::new(shard.from_ms(), last_day.from_ms()).filter(|_| self.can_cut())
    }

    /// The first part of what is planned: where the rows are not known yet, as wide as any endpoint
    /// allows. A fetcher cuts it once it knows more.
    fn planned(&self, interval: Interval) -> EndpointChoice {
        let first = self.cheapest(interval);
        let (query, job) = self.endpoints();
        let allowed = query.into_iter().chain(job).filter(|_| !self.is_known(first.interval));
        let widest = allowed.map(|endpoint| self.choice(endpoint, interval));
        widest.max_by_key(|part| part.interval.to_ms()).unwrap_or(first)
    }

    /// The parts of an interval, each the first of what is left.
    fn parts(
        &self,
        interval: Interval,
        first: impl Fn(Interval) -> EndpointChoice,
    ) -> impl Iterator<Item = EndpointChoice> {
        let mut rest = Some(interval);
        std::iter::from_fn(move || {
            let whole = rest?;
            let part = first(whole);
            rest = Interval::new(part.interval.to_ms(), whole.to_ms());
            Some(part)
        })
    }

    fn requests_of(&self, part: &EndpointChoice) -> Option<u64> {
        let items = self.items(&part.endpoint, part.interval);
        request_count(&part.endpoint, items, self.settings.page_size)
    }

    /// The most that an endpoint fetches at once of an interval.
    fn choice(&self, endpoint: &Arc<Endpoint>, interval: Interval) -> EndpointChoice {
        let interval = self.widest(endpoint, interval);
        EndpointChoice { endpoint: Arc::clone(endpoint), interval }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{self, Dataset},
        fetch::tests::{DAY_MS, conversations, rows_a_day, settings},
    };

    #[test]
    fn the_endpoint_with_fewer_requests_is_chosen_and_jobs_read_whole_days_of_their_data() {
        let dataset = &conversations();
        let settings = settings(&[]);
        let cheapest = |rows, job_data_until_ms| {
            let row_stats = &rows_a_day(rows);
            let (settings, has_filter) = (&settings, false);
            let sizing =
                ShardSizing { dataset, settings, has_filter, row_stats, job_data_until_ms };
            let part = sizing.cheapest(Interval::new(0, 7 * DAY_MS).unwrap());
            (part.endpoint.async_job.is_some(), part.interval.to_ms() / DAY_MS)
        };
        assert_eq!(cheapest(20, i64::MAX), (false, 7), "140 rows");
        assert_eq!(cheapest(60, i64::MAX), (true, 7), "420 rows");
        assert_eq!(
            cheapest(100, 5 * DAY_MS + 1),
            (true, 5),
            "the data of jobs end in the sixth day"
        );
        assert_eq!(cheapest(100, DAY_MS - 1), (false, 7), "jobs cannot read a day");
        assert_eq!(cheapest(100, i64::MIN), (false, 7));
    }

    /// Whether a query and a job may fetch a dataset with these settings.
    fn allowed(dataset: &Arc<Dataset>, set: &[&str]) -> (bool, bool) {
        let (settings, row_stats) = (&settings(set), &rows_a_day(1));
        let job_data_until_ms = i64::MAX;
        let sizing =
            ShardSizing { dataset, settings, has_filter: false, row_stats, job_data_until_ms };
        let (query, job) = sizing.endpoints();
        (query.is_some(), job.is_some())
    }

    #[test]
    fn the_strategy_decides_which_endpoints_may_be_used_and_columns_of_jobs_need_a_job() {
        let dataset = &conversations();
        assert_eq!(allowed(dataset, &[]), (true, true));
        assert_eq!(allowed(dataset, &["fetch.strategy=query"]), (true, false));
        assert_eq!(allowed(dataset, &["fetch.strategy=job"]), (false, true));
        let with_attributes = catalog::test_dataset("conversations");
        assert!(with_attributes.has_extras());
        assert_eq!(allowed(with_attributes, &[]), (false, true));
    }

    #[test]
    fn a_shard_of_a_given_width_is_not_cut_where_the_data_of_jobs_end() {
        let (dataset, row_stats) = (&conversations(), &rows_a_day(100));
        let settings = &settings(&["fetch.shard=7d"]);
        let job_data_until_ms = 5 * DAY_MS + 1;
        let sizing =
            ShardSizing { dataset, settings, has_filter: false, row_stats, job_data_until_ms };
        let week = Interval::new(0, 7 * DAY_MS).unwrap();
        assert_eq!(sizing.readable_by_job(week), None);
        let part = sizing.cheapest(week);
        assert_eq!((part.endpoint.async_job.is_some(), part.interval), (false, week));
    }
}
