//! How wide the shards of a dataset are, and which endpoint needs the fewest requests for one.
//!
//! Nothing here asks the platform: a plan and a fetcher decide by the same functions, so that what is
//! planned is what is requested. The width of a shard is that of its requests. Each of its
//! commits covers at most one UTC day, whatever that width.

use std::{sync::Arc, time::Duration};

use crate::{
    catalog::{Dataset, Endpoint, Paging},
    fetch::{FetchSettings, ShardWidth, Strategy, request_count},
    ledger::RowStats,
    planning,
    time::interval::{DAY, Interval},
};

/// The pages of a shard at which it is wide enough: the requests beside its pages are a few percent
/// of them then, and there are shards for every fetcher.
const ENOUGH_PAGES: u64 = 100;
/// The pages up to which a shard may be wider than the quota fetches in the time of a commit: else a
/// small quota would go into the requests beside the pages.
const LEAST_PAGES: u64 = 10;
/// The most rows of a shard that cannot be committed day by day, as they are held until its end.
const MOST_ROWS: u64 = 200_000;
/// The widest shard, where the platform names no limit.
const WIDEST: Duration = Duration::from_secs(31 * 86_400);
/// The widest shard of a dataset whose rows cannot be counted and are not known.
const WIDEST_UNKNOWN: Duration = Duration::from_secs(7 * 86_400);

/// What decides how the rows of a dataset are requested.
pub(crate) struct ShardSizing<'a> {
    pub dataset: &'a Arc<Dataset>,
    pub settings: &'a FetchSettings,
    /// Whether requests have a filter of the user.
    pub has_filter: bool,
    pub row_stats: &'a RowStats,
    /// Up to when jobs have data, in milliseconds since 1970.
    pub job_data_until_ms: i64,
}

/// A part of an interval that is requested as one shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub endpoint: &'a Arc<Endpoint>,
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
        self.parts(shard, |rest| self.first(rest)).map(|part| self.requests_of(part)).sum()
    }

    /// Whether a job fetches a part of a shard.
    pub(crate) fn uses_job(&self, shard: Interval) -> bool {
        self.parts(shard, |rest| self.first(rest)).any(|part| part.endpoint.async_job.is_some())
    }

    /// The first part of a shard that is requested at once, and its endpoint: of two the one with
    /// fewer requests; of equals, or where the rows are not known, the query, which answers at once.
    pub(crate) fn first(&self, shard: Interval) -> Part<'a> {
        match self.endpoints() {
            (Some(query), Some(job)) => {
                let by_query = self.widest_part(query, shard);
                let Some(readable) = self.readable_by_job(shard) else { return by_query };
                let by_job = self.widest_part(job, readable);
                let with_query = self.parts(by_job.interval, |rest| self.widest_part(query, rest));
                let by_queries: Option<u64> = with_query.map(|part| self.requests_of(part)).sum();
                match (self.requests_of(by_job), by_queries) {
                    (Some(of_job), Some(of_queries)) if of_job < of_queries => by_job,
                    _ => by_query,
                }
            }
            (query, job) => {
                self.widest_part(query.or(job).unwrap_or(self.dataset.endpoint()), shard)
            }
        }
    }

    /// The part of a shard that jobs can read. `None` if there is none, or if the shard cannot be cut.
    pub(crate) fn readable_by_job(&self, shard: Interval) -> Option<Interval> {
        if self.job_data_until_ms >= shard.to_ms() {
            return Some(shard);
        }
        let last_day = Interval::day_of(self.job_data_until_ms.max(shard.from_ms()));
        Interval::new(shard.from_ms(), last_day.from_ms()).filter(|_| self.can_cut())
    }

    /// Whether the row count of an interval is known, or the requests do not depend on it.
    pub(crate) fn is_known(&self, interval: Interval) -> bool {
        self.items(self.dataset.endpoint(), interval).is_some()
    }

    /// The first part of what is planned: where the rows are not known yet, as wide as any endpoint
    /// allows. A fetcher cuts it once it knows more.
    fn planned(&self, interval: Interval) -> Part<'a> {
        let first = self.first(interval);
        let (query, job) = self.endpoints();
        let allowed = query.into_iter().chain(job).filter(|_| !self.is_known(first.interval));
        let widest = allowed.map(|endpoint| self.widest_part(endpoint, interval));
        widest.max_by_key(|part| part.interval.to_ms()).unwrap_or(first)
    }

    /// The parts of an interval, each the first of what is left.
    fn parts(
        &self,
        interval: Interval,
        first: impl Fn(Interval) -> Part<'a>,
    ) -> impl Iterator<Item = Part<'a>> {
        let mut rest = Some(interval);
        std::iter::from_fn(move || {
            let whole = rest?;
            let part = first(whole);
            rest = Interval::new(part.interval.to_ms(), whole.to_ms());
            Some(part)
        })
    }

    fn requests_of(&self, part: Part<'a>) -> Option<u64> {
        let items = self.items(part.endpoint, part.interval);
        request_count(part.endpoint, items, self.settings.page_size)
    }

    /// The items that the pages of an interval have. Items that hold lists of rows, such as users,
    /// are as many in any interval.
    fn items(&self, endpoint: &Endpoint, interval: Interval) -> Option<u64> {
        match endpoint.explode.is_empty() {
            true => self.row_stats.rows(interval),
            false => self.row_stats.items,
        }
    }

    /// Whether a shard may be requested in parts.
    fn can_cut(&self) -> bool {
        self.settings.shard == ShardWidth::Auto
            && !self.dataset.snapshot
            && !planning::is_committed_whole(self.dataset)
    }

    /// The widest part of an interval, from its start, that an endpoint fetches as one shard: whole
    /// days, at least one, within its limits.
    fn widest_part(&self, endpoint: &'a Arc<Endpoint>, interval: Interval) -> Part<'a> {
        if !self.can_cut() {
            return Part { endpoint, interval };
        }
        let mut widest = endpoint.widest[usize::from(self.has_filter)].min(WIDEST);
        let is_paged = endpoint.paging != Paging::None;
        if is_paged && !self.dataset.is_counted() && self.row_stats.rows(interval).is_none() {
            widest = widest.min(WIDEST_UNKNOWN);
        }
        let most_rows = self.most_rows(endpoint);
        let (mut part, mut rows) = (None, 0);
        for day in interval.split(DAY.min(self.dataset.shard(widest))) {
            let Some(wider) = Interval::new(interval.from_ms(), day.to_ms()) else { break };
            rows += self.row_stats.rows(day).unwrap_or(0);
            if part.is_some() && (wider.width() > widest || rows > most_rows) {
                break;
            }
            part = Some(wider);
        }
        Part { endpoint, interval: part.unwrap_or(interval) }
    }

    /// The rows at which a shard is wide enough. One whose rows come in order is committed day by
    /// day; any other is to be fetched in the time of a commit, as a crash loses all of it.
    fn most_rows(&self, endpoint: &Endpoint) -> u64 {
        if endpoint.paging == Paging::None || !endpoint.explode.is_empty() {
            return MOST_ROWS;
        }
        let pages = match (endpoint.ordered, self.settings.requests_per_commit) {
            (false, Some(requests)) => requests.clamp(LEAST_PAGES, ENOUGH_PAGES),
            _ => ENOUGH_PAGES,
        };
        let page_size = u64::from(endpoint.page_size.min(self.settings.page_size));
        pages.saturating_mul(page_size).min(MOST_ROWS).min(endpoint.depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog, config, ledger::Probe};

    const DAY_MS: i64 = 86_400_000;

    fn settings(set: &[&str]) -> FetchSettings {
        let keys = [
            "source.region=sandbox",
            "job.from=2024-01-01T00:00:00Z",
            "job.to=2024-01-02T00:00:00Z",
            "fetch.shard=auto",
        ];
        let set = keys.iter().chain(set).map(ToString::to_string).collect();
        let overrides = config::Overrides { set, ..config::Overrides::default() };
        config::Config::load(&overrides).unwrap().remove(0).fetch
    }

    fn conversations() -> Arc<Dataset> {
        Arc::new(catalog::test_dataset("conversations").without_extras())
    }

    /// This many rows a day.
    fn rows_a_day(rows: u64) -> RowStats {
        let probes = vec![Probe { interval: Interval::day_of(0), rows }];
        RowStats { probes, ..RowStats::default() }
    }

    /// The widths in days of the shards of the first `days` from noon or midnight on.
    fn widths(
        dataset: &Arc<Dataset>,
        set: &[&str],
        row_stats: &RowStats,
        (from, to): (f64, f64),
    ) -> Vec<f64> {
        let settings = settings(set);
        let sizing = ShardSizing {
            dataset,
            settings: &settings,
            has_filter: false,
            row_stats,
            job_data_until_ms: i64::MAX,
        };
        let ms = |days: f64| (days * DAY_MS as f64) as i64;
        let interval = Interval::new(ms(from), ms(to)).unwrap();
        let shards = sizing.shards(interval);
        assert!(interval.is_covered_by(&shards));
        shards.iter().map(|shard| shard.width().as_secs_f64() / DAY.as_secs_f64()).collect()
    }

    #[test]
    fn shards_are_whole_days_within_the_limits_of_the_endpoint_and_of_enough_rows() {
        let dataset = &conversations();
        let query =
            |rows, span| widths(dataset, &["fetch.strategy=query"], &rows_a_day(rows), span);
        assert_eq!(query(100, (0.0, 16.0)), [7.0, 7.0, 2.0], "the platform's limit");
        assert_eq!(query(100, (0.5, 9.25)), [6.5, 2.25], "shards meet at midnight");
        assert_eq!(query(4_000, (0.0, 5.0)), [2.0, 2.0, 1.0], "a hundred pages");
        assert_eq!(query(1_000_000, (0.0, 2.0)), [1.0, 1.0], "a day at least");
        let job = |rows| widths(dataset, &["fetch.strategy=job"], &rows_a_day(rows), (0.0, 31.0));
        assert_eq!(job(3_000), [31.0]);
        assert_eq!(job(20_000), [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 1.0]);
        let auto = |row_stats: &RowStats| widths(dataset, &[], row_stats, (0.0, 31.0));
        assert_eq!(auto(&rows_a_day(20_000)), job(20_000));
        assert_eq!(auto(&rows_a_day(5)), [31.0], "five queries of a week need more requests");
        assert_eq!(auto(&RowStats::default()), [31.0], "a fetcher cuts it");
    }

    #[test]
    fn rows_that_come_in_no_order_are_no_more_than_the_quota_fetches_in_the_time_of_a_commit() {
        let ordered = conversations();
        let query = Endpoint { ordered: false, ..Endpoint::clone(ordered.query.as_ref().unwrap()) };
        let dataset = Dataset { query: Some(Arc::new(query)), ..Dataset::clone(&ordered) };
        let with_quota = |requests: u32| {
            let set = [
                "fetch.strategy=query",
                &format!("budget.requests={requests}"),
                "budget.per=1m",
                "output.commit_every=1m",
                "fetch.actors=2",
            ];
            widths(&Arc::new(dataset.clone()), &set, &rows_a_day(1_000), (0.0, 7.0))
        };
        assert_eq!(with_quota(0), [7.0]);
        assert_eq!(with_quota(60), [3.0, 3.0, 1.0], "30 pages");
        assert_eq!(with_quota(2), [1.0; 7], "10 pages");
    }

    #[test]
    fn an_explicit_width_and_rows_whose_time_is_that_of_the_shard_keep_theirs() {
        let dataset = &conversations();
        let fixed = |set| widths(dataset, &[set], &rows_a_day(10), (0.0, 3.0));
        assert_eq!(fixed("fetch.shard=12h"), [0.5; 6]);
        assert_eq!(fixed("fetch.shard=2d"), [2.0, 1.0]);
        let contacts = &catalog::builtin("nice-cxone").unwrap().datasets["contact-custom-data"];
        assert_eq!(widths(contacts, &[], &rows_a_day(10), (0.0, 3.0)), [1.0; 3]);
        let aggregates = catalog::test_dataset("queue-aggregates");
        assert_eq!(widths(aggregates, &[], &RowStats::default(), (0.0, 28.0)), [28.0]);
        let users = catalog::test_dataset("user-details");
        let unknown = widths(users, &[], &RowStats::default(), (0.0, 28.0));
        assert_eq!(unknown, [7.0; 4], "its rows cannot be counted");
    }

    #[test]
    fn the_endpoint_with_fewer_requests_is_chosen_and_jobs_read_whole_days_of_their_data() {
        let dataset = &conversations();
        let settings = settings(&[]);
        let first = |rows, job_data_until_ms| {
            let row_stats = &rows_a_day(rows);
            let (settings, has_filter) = (&settings, false);
            let sizing =
                ShardSizing { dataset, settings, has_filter, row_stats, job_data_until_ms };
            let part = sizing.first(Interval::new(0, 7 * DAY_MS).unwrap());
            (part.endpoint.async_job.is_some(), part.interval.to_ms() / DAY_MS)
        };
        assert_eq!(first(20, i64::MAX), (false, 7), "140 rows");
        assert_eq!(first(60, i64::MAX), (true, 7), "420 rows");
        assert_eq!(first(100, 5 * DAY_MS + 1), (true, 5), "the data of jobs end in the sixth day");
        assert_eq!(first(100, DAY_MS - 1), (false, 7), "jobs cannot read a day");
        assert_eq!(first(100, i64::MIN), (false, 7));
    }
}
