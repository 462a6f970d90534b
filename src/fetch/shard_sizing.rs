//! How wide a shard may be: within the limits of its endpoint, and cheap to lose.
//!
//! The width of a shard is that of its requests. Each of its commits covers at most one UTC day,
//! whatever that width.

use std::{sync::Arc, time::Duration};

use crate::{
    catalog::{Dataset, Endpoint, Paging},
    fetch::{FetchSettings, ShardWidth},
    ledger::RowStats,
    planning,
    time::interval::{DAY, Interval},
};

/// The pages of a shard at which it is wide enough: the requests beside its pages are a few percent
/// of them then, and there are shards for every fetcher.
const ENOUGH_PAGES: u64 = 100;
/// The pages up to which a shard may be wider than the quota fetches in the time of a commit: else
/// a small quota would go into the requests beside the pages.
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

impl ShardSizing<'_> {
    /// Whether the row count of an interval is known, or the requests do not depend on it.
    pub(crate) fn is_known(&self, interval: Interval) -> bool {
        self.items(self.dataset.endpoint(), interval).is_some()
    }

    /// The items that the pages of an interval have. Items that hold lists of rows, such as users,
    /// are as many in any interval.
    pub(super) fn items(&self, endpoint: &Endpoint, interval: Interval) -> Option<u64> {
        match endpoint.explode.is_empty() {
            true => self.row_stats.rows(interval),
            false => self.row_stats.items,
        }
    }

    /// Whether a shard may be requested in parts.
    pub(super) fn can_cut(&self) -> bool {
        self.settings.shard == ShardWidth::Auto
            && !self.dataset.snapshot
            && !planning::is_committed_whole(self.dataset)
    }

    /// The widest part of an interval, from its start, that an endpoint fetches as one shard: whole
    /// days, at least one, within its limits.
    pub(super) fn widest(&self, endpoint: &Endpoint, interval: Interval) -> Interval {
        if !self.can_cut() {
            return interval;
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
        part.unwrap_or(interval)
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
    use crate::{
        catalog,
        fetch::tests::{DAY_MS, conversations, rows_a_day, settings},
    };

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

    /// The rows at which a shard of conversations is wide enough, and its width in days with a row
    /// a day, if their query differs like this.
    fn limits_of(has_filter: bool, differ: impl Fn(Endpoint) -> Endpoint) -> (u64, u64) {
        let dataset = &conversations();
        let query = differ(Endpoint::clone(dataset.query.as_ref().unwrap()));
        let (settings, row_stats) = (&settings(&[]), &rows_a_day(1));
        let job_data_until_ms = i64::MAX;
        let sizing = ShardSizing { dataset, settings, has_filter, row_stats, job_data_until_ms };
        let widest = sizing.widest(&query, Interval::new(0, 100 * DAY_MS).unwrap());
        (sizing.most_rows(&query), widest.width().as_secs() / DAY.as_secs())
    }

    #[test]
    fn the_limits_of_the_endpoint_and_the_memory_of_a_shard_bound_its_width() {
        let plain = limits_of(false, |query| query);
        assert_eq!(plain, (10_000, 7), "a hundred pages, and the platform's limit");
        assert_eq!(limits_of(true, |query| query).1, 31, "the limit with a filter");
        let anything = |query| Endpoint { widest: [Duration::MAX; 2], ..query };
        assert_eq!(limits_of(false, anything).1, 31, "no limit of the platform");
        let shallow = |query| Endpoint { depth: 5_000, ..query };
        assert_eq!(limits_of(false, shallow).0, 5_000, "paging ends there");
        let one_page = |query| Endpoint { paging: Paging::None, ..query };
        assert_eq!(limits_of(false, one_page).0, MOST_ROWS);
        let lists = |query| Endpoint { explode: vec!["list".to_owned()], ..query };
        assert_eq!(limits_of(false, lists).0, MOST_ROWS, "its items are no rows");
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
}
