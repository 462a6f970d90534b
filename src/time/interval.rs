//! Half-open UTC intervals `[from, to)`, in milliseconds.
//!
//! The planner's guarantee (G1) is arithmetic on these: an interval is never empty, the parts of a
//! split are disjoint and cover it, and a resume is a subtraction. Milliseconds are the resolution
//! of all timestamps in the APIs.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The length of a UTC day in milliseconds. Timestamps do not count leap seconds.
pub(crate) const DAY_MS: i64 = 86_400_000;
/// The length of a UTC day.
pub(crate) const DAY: Duration = Duration::from_millis(DAY_MS.unsigned_abs());

/// A span of time that contains its start but not its end. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(i64, i64)", into = "(i64, i64)")]
pub struct Interval {
    from: i64,
    to: i64,
}

/// Why a text is not a valid interval.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// There is no `/` between two timestamps.
    #[error(
        "expected two times with a slash between them, such as \
        2024-01-01T00:00:00Z/2024-01-02T00:00:00Z"
    )]
    Form,
    /// One side is not an RFC 3339 time.
    #[error("`{0}` is not a valid RFC 3339 time, such as 2024-01-01T00:00:00Z")]
    Time(String),
    /// The end is not after the start.
    #[error("the end of the interval is not after its start")]
    Empty,
}

impl Interval {
    /// The interval from `from` to `to`, exclusive, in milliseconds since 1970. `None` if it would
    /// be empty.
    pub fn new(from: i64, to: i64) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    /// The interval between two timestamps, truncated to milliseconds. `None` if it would be empty.
    pub fn between(from: Timestamp, to: Timestamp) -> Option<Self> {
        Self::new(from.as_millisecond(), to.as_millisecond())
    }

    /// The UTC day that contains `ms`.
    pub fn day_of(ms: i64) -> Self {
        let from = ms - ms.rem_euclid(DAY_MS);
        Self { from, to: from + DAY_MS }
    }

    /// The first millisecond of the interval.
    pub fn from_ms(self) -> i64 {
        self.from
    }

    /// The first millisecond after the end.
    pub fn to_ms(self) -> i64 {
        self.to
    }

    /// The length of the interval.
    pub fn width(self) -> Duration {
        Duration::from_millis(self.to.abs_diff(self.from))
    }

    /// Whether the interval contains `ms`: the ownership rule (G4).
    pub fn contains(self, ms: i64) -> bool {
        self.from <= ms && ms < self.to
    }

    /// Whether the two intervals have an instant in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }

    /// The part that the two intervals have in common. `None` if they do not overlap.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.to.min(other.to))
    }

    /// The two halves. Those of more than a day meet at the midnight (UTC) nearest to the middle.
    /// `None` if the interval is a single millisecond.
    pub fn bisect(self) -> Option<(Self, Self)> {
        let middle = self.from + (self.to - self.from) / 2;
        if self.to - self.from <= DAY_MS {
            return self.cut(middle);
        }
        let before = Self::day_of(middle);
        let midnights = [before.from, before.to]
            .into_iter()
            .filter(|&midnight| self.from < midnight && midnight < self.to);
        self.cut(midnights.min_by_key(|midnight| midnight.abs_diff(middle)).unwrap_or(middle))
    }

    /// The part of at most `width` from the start.
    pub(crate) fn start(self, width: Duration) -> Self {
        let width = i64::try_from(width.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { from: self.from, to: self.from.saturating_add(width).min(self.to) }
    }

    /// The parts before and from `at` on. `None` if one of them would be empty.
    pub fn cut(self, at: i64) -> Option<(Self, Self)> {
        Some((Self::new(self.from, at)?, Self::new(at, self.to)?))
    }

    /// The parts of at most `width`, aligned to multiples of `width` since 1970.
    ///
    /// Where they meet does not depend on the ends of the interval, so the shards of a later run
    /// align with those of an earlier one.
    pub fn split(self, width: Duration) -> impl Iterator<Item = Self> {
        let width = i64::try_from(width.as_millis()).unwrap_or(i64::MAX).max(1);
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let Self { from, to } = rest?;
            let end = (from - from.rem_euclid(width)).saturating_add(width).min(to);
            rest = Self::new(end, to);
            Some(Self { from, to: end })
        })
    }

    /// The parts of the interval that are in none of `others`, in order. The others may overlap and
    /// be unsorted.
    pub fn subtract(self, others: &[Self]) -> Vec<Self> {
        let mut others: Vec<_> = others.iter().filter(|other| other.overlaps(self)).collect();
        others.sort_unstable();
        let mut left = Vec::new();
        let mut from = self.from;
        for other in others {
            left.extend(Self::new(from, other.from));
            from = from.max(other.to);
        }
        left.extend(Self::new(from, self.to));
        left
    }

    /// Those of `others`, disjoint intervals in order, that overlap this one.
    pub(crate) fn overlapping(self, others: &[Self]) -> &[Self] {
        let start = others.partition_point(|other| other.to <= self.from);
        let end = others.partition_point(|other| other.from < self.to);
        &others[start..end.max(start)]
    }

    /// The intervals in order, with those that overlap or touch each other joined.
    pub(crate) fn joined(intervals: &[Self]) -> Vec<Self> {
        let mut intervals = intervals.to_vec();
        intervals.sort_unstable();
        let mut joined: Vec<Self> = Vec::new();
        for interval in intervals {
            match joined.last_mut() {
                Some(last) if interval.from <= last.to => last.to = last.to.max(interval.to),
                _ => joined.push(interval),
            }
        }
        joined
    }

    /// Adds the interval to `joined`, intervals in order that do not touch each other, and joins it
    /// with those that it touches.
    pub(crate) fn join_into(self, joined: &mut Vec<Self>) {
        let start = joined.partition_point(|other| other.to < self.from);
        let end = joined.partition_point(|other| other.from <= self.to);
        let mut whole = self;
        for touching in joined.drain(start..end) {
            whole.from = whole.from.min(touching.from);
            whole.to = whole.to.max(touching.to);
        }
        joined.insert(start, whole);
    }

    /// Whether `parts` are pairwise disjoint and together exactly this interval (G1).
    pub fn is_covered_by(self, parts: &[Self]) -> bool {
        let mut parts = parts.to_vec();
        parts.sort_unstable();
        let mut from = self.from;
        parts.iter().all(|part| part.from == std::mem::replace(&mut from, part.to))
            && from == self.to
    }

    /// The interval in file names: `20240101T000000.000Z-20240102T000000.000Z`.
    pub fn slug(self) -> String {
        self.to_string().replace(['-', ':'], "").replace('/', "-")
    }
}

/// Formats milliseconds since 1970 as the APIs do: `2024-01-01T00:00:00.000Z`. Times outside the
/// years -9999 to 9999 are clamped to them.
pub fn iso(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    format!("{time:.3}")
}

impl TryFrom<(i64, i64)> for Interval {
    type Error = ParseError;

    fn try_from((from, to): (i64, i64)) -> Result<Self, ParseError> {
        Self::new(from, to).ok_or(ParseError::Empty)
    }
}

impl From<Interval> for (i64, i64) {
    fn from(interval: Interval) -> Self {
        (interval.from, interval.to)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", iso(self.from), iso(self.to))
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Interval {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let time =
            |side: &str| side.parse::<Timestamp>().map_err(|_| ParseError::Time(side.to_owned()));
        let (from, to) = text.split_once('/').ok_or(ParseError::Form)?;
        Self::between(time(from)?, time(to)?).ok_or(ParseError::Empty)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn interval()(from in -2_000i64..2_000, width in 1i64..1_000) -> Interval {
            Interval::new(from, from + width).unwrap()
        }
    }

    proptest! {
        #[test]
        fn g1_a_split_covers_its_interval(whole in interval(), width in 1u64..500) {
            let parts: Vec<_> = whole.split(Duration::from_millis(width)).collect();
            prop_assert!(whole.is_covered_by(&parts));
            prop_assert!(parts.iter().all(|part| part.width().as_millis() <= u128::from(width)));
        }

        #[test]
        fn g1_a_bisection_covers_its_interval(whole in interval()) {
            match whole.bisect() {
                Some((left, right)) => prop_assert!(whole.is_covered_by(&[right, left])),
                None => prop_assert_eq!(whole.width().as_millis(), 1),
            }
        }

        #[test]
        fn g1_a_subtraction_leaves_exactly_what_the_others_do_not_cover(
            whole in interval(), others in prop::collection::vec(interval(), 0..6),
        ) {
            let left = whole.subtract(&others);
            for ms in whole.from_ms()..whole.to_ms() {
                let covered = others.iter().any(|other| other.contains(ms));
                let parts = left.iter().filter(|part| part.contains(ms)).count();
                prop_assert_eq!(parts, usize::from(!covered));
            }
        }

        #[test]
        fn intervals_that_are_added_in_any_order_are_those_joined_at_once(
            others in prop::collection::vec(interval(), 0..9), whole in interval(),
        ) {
            let mut joined = Vec::new();
            for other in &others {
                other.join_into(&mut joined);
            }
            prop_assert_eq!(&joined, &Interval::joined(&others));
            let overlapping: Vec<_> =
                joined.iter().copied().filter(|other| other.overlaps(whole)).collect();
            prop_assert_eq!(whole.overlapping(&joined), &overlapping);
        }

        #[test]
        fn the_text_of_an_interval_reads_back(whole in interval()) {
            prop_assert_eq!(whole.to_string().parse(), Ok(whole));
        }

        #[test]
        fn splits_of_overlapping_intervals_have_the_same_alignment(
            a in interval(), b in interval(), width in 1u64..500,
        ) {
            let width = Duration::from_millis(width);
            if let Some(shared) = a.intersect(b) {
                let starts = |whole: Interval| -> Vec<i64> {
                    let starts = whole.split(width).map(Interval::from_ms);
                    starts.filter(|&ms| shared.contains(ms) && ms > shared.from_ms()).collect()
                };
                prop_assert_eq!(starts(a), starts(b));
            }
        }
    }

    #[test]
    fn parts_with_a_gap_or_an_overlap_do_not_cover_an_interval() {
        let part = |from, to| Interval::new(from, to).unwrap();
        assert!(!part(0, 10).is_covered_by(&[part(0, 4), part(5, 10)]));
        assert!(!part(0, 10).is_covered_by(&[part(0, 6), part(5, 10)]));
        assert!(!part(0, 10).is_covered_by(&[]));
    }

    #[test]
    fn the_halves_of_more_than_a_day_meet_at_midnight() {
        let hours = |from: i64, to: i64| Interval::new(from * 3_600_000, to * 3_600_000).unwrap();
        for (whole, at) in
            [(hours(0, 72), 24), (hours(20, 90), 48), (hours(1, 26), 24), (hours(23, 48), 24)]
        {
            let expected = whole.cut(at * 3_600_000);
            assert_eq!(whole.bisect(), expected, "{whole}");
        }
        assert_eq!(hours(12, 36).bisect(), hours(12, 36).cut(24 * 3_600_000), "the middle");
        assert_eq!(hours(13, 36).bisect(), hours(13, 36).cut(49 * 1_800_000), "a day at most");
    }

    #[test]
    fn intervals_that_touch_or_overlap_are_joined() {
        let part = |from, to| Interval::new(from, to).unwrap();
        let joined = Interval::joined(&[part(20, 30), part(0, 10), part(10, 15), part(12, 13)]);
        assert_eq!(joined, [part(0, 15), part(20, 30)]);
    }

    #[test]
    fn an_interval_is_formatted_as_the_apis_do() {
        let day: Interval = "2024-02-29T00:00:00Z/2024-03-01T00:00:00.000Z".parse().unwrap();
        assert_eq!(day.to_string(), "2024-02-29T00:00:00.000Z/2024-03-01T00:00:00.000Z");
        assert_eq!(day.slug(), "20240229T000000.000Z-20240301T000000.000Z");
        assert_eq!(Interval::day_of(day.from_ms() + 5), day);
        assert_eq!("2024-03-01/x".parse::<Interval>(), Err(ParseError::Time("2024-03-01".into())));
    }
}
