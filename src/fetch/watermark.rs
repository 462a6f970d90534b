//! How far the rows of a shard have come in time: where it can be committed partially.

use crate::{decode::RowKey, time::interval::Interval};

/// The newest time among the rows that the sink has, and whether everything before it is there.
///
/// Rows of one time may be spread over two pages, so a watermark never covers its own millisecond:
/// a partial commit ends before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watermark {
    /// In milliseconds since 1970. `None` if there are no rows yet.
    newest_ms: Option<i64>,
    /// Whether rows have come in order of time so far. Without order there is no partial commit.
    is_ordered: bool,
}

impl Watermark {
    /// A watermark before the first row. `is_ordered` tells whether the endpoint promises order.
    pub(crate) fn new(is_ordered: bool) -> Self {
        Self { newest_ms: None, is_ordered }
    }

    /// Takes the rows of a page into account.
    pub(crate) fn advance(&mut self, keys: &[RowKey]) {
        self.is_ordered &= self.is_continued_by(keys);
        self.newest_ms = self.newest_ms.max(keys.iter().map(|key| key.time_ms).max());
    }

    /// The time before which all rows are at the sink, if paging were to end here. `None` if that
    /// is not known.
    pub(crate) fn complete_before(&self) -> Option<i64> {
        self.newest_ms.filter(|_| self.is_ordered)
    }

    /// The time before which all rows are at the sink, given the rows of the next page. `None` if
    /// that is not known, or if the page begins with the time that the watermark has reached.
    pub(crate) fn complete_before_page(&self, keys: &[RowKey]) -> Option<i64> {
        let first_ms = keys.iter().map(|key| key.time_ms).min()?;
        self.complete_before().filter(|&newest_ms| newest_ms < first_ms).map(|_| first_ms)
    }

    /// The last midnight (UTC) before which all rows are there with the rows of the next page, and
    /// the index of the first row of the page after it. `None` if that is not known, or if no row
    /// lies before it.
    pub(crate) fn complete_days(&self, keys: &[RowKey]) -> Option<(usize, i64)> {
        let (first, last) = (keys.first()?, keys.last()?);
        let midnight_ms = Interval::day_of(last.time_ms).from_ms();
        let is_first = self.newest_ms.unwrap_or(first.time_ms) < midnight_ms;
        if !is_first || !self.is_ordered || !self.is_continued_by(keys) {
            return None;
        }
        Some((keys.partition_point(|key| key.time_ms < midnight_ms), midnight_ms))
    }

    /// Whether the rows of a page are in order of time, and none is older than those before.
    fn is_continued_by(&self, keys: &[RowKey]) -> bool {
        keys.is_sorted_by_key(|key| key.time_ms)
            && keys.first().is_none_or(|first| self.newest_ms <= Some(first.time_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(times: &[i64]) -> Vec<RowKey> {
        let key = |&time_ms: &i64| RowKey { id: 0, version: 0, time_ms, digest: 0 };
        times.iter().map(key).collect()
    }

    #[test]
    fn a_watermark_covers_what_lies_before_its_newest_row_or_before_the_next_page() {
        let mut watermark = Watermark::new(true);
        assert_eq!(watermark.complete_before(), None);
        watermark.advance(&keys(&[1, 2, 3]));
        assert_eq!(watermark.complete_before(), Some(3));
        assert_eq!(watermark.complete_before_page(&keys(&[5, 6])), Some(5));
        assert_eq!(watermark.complete_before_page(&keys(&[3, 6])), None, "rows of 3 may follow");
        assert_eq!(watermark.complete_before_page(&[]), None);
    }

    #[test]
    fn a_page_that_leads_to_another_day_completes_the_days_before() {
        let day = 86_400_000;
        let mut watermark = Watermark::new(true);
        assert_eq!(watermark.complete_days(&keys(&[1, day - 1])), None, "the day goes on");
        assert_eq!(watermark.complete_days(&keys(&[1, day - 1, day, day + 1])), Some((2, day)));
        assert_eq!(watermark.complete_days(&keys(&[1, day, 3 * day + 5])), Some((2, 3 * day)));
        assert_eq!(watermark.complete_days(&keys(&[day, day + 1])), None, "no row lies before");
        watermark.advance(&keys(&[1, 2]));
        assert_eq!(watermark.complete_days(&keys(&[day, day + 1])), Some((0, day)));
        assert_eq!(watermark.complete_days(&keys(&[3, day, 4])), None, "there is no order");
        let earlier = watermark.complete_days(&keys(&[1, day]));
        assert_eq!(earlier, None, "the page begins before the end of the one before");
        let unordered = Watermark::new(false);
        assert_eq!(unordered.complete_days(&keys(&[1, day])), None);
    }

    #[test]
    fn rows_without_order_have_no_watermark_even_if_they_look_ordered() {
        let mut unordered = Watermark::new(false);
        unordered.advance(&keys(&[1, 2, 3]));
        let mut disordered = Watermark::new(true);
        disordered.advance(&keys(&[2, 1]));
        disordered.advance(&keys(&[3, 4]));
        let mut disordered_pages = Watermark::new(true);
        disordered_pages.advance(&keys(&[2, 4]));
        disordered_pages.advance(&keys(&[3, 4]));
        for watermark in [unordered, disordered, disordered_pages] {
            assert_eq!(watermark.complete_before(), None);
            assert_eq!(watermark.complete_before_page(&keys(&[5, 6])), None);
        }
    }
}
