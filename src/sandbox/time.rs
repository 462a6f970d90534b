//! Times of the sandbox: half-open ranges of milliseconds since 1970.
//!
//! Written apart from the program's `Interval`, so that the oracle shares no code with what it
//! judges.

use std::{
    fmt,
    ops::{Range, RangeInclusive},
    str::FromStr,
};

use jiff::Timestamp;

/// The length of a UTC day in milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;
/// The last day that has data, 9990-01-01: later ends must still have four-digit years.
pub(super) const LAST_DAY: i64 = 2_929_245;

/// The times from `from` up to, not including, `to`, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeRange {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// Why a text is not a range of times.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TimeRangeError {
    /// There is no `/` between two times.
    NoSlash,
    /// One side is not an RFC 3339 time.
    Time(String),
    /// The end is not after the start.
    Empty,
}

impl TimeRange {
    /// The range between two times. `None` if it would be empty.
    pub(super) fn new(from: i64, to: i64) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    /// The UTC day with this number, counted from 1970.
    pub(super) fn day(day: i64) -> Self {
        Self { from: day * DAY_MS, to: (day + 1) * DAY_MS }
    }

    pub(super) fn contains(self, ms: i64) -> bool {
        (self.from..self.to).contains(&ms)
    }

    /// The part that both ranges hold. `None` if there is none.
    pub(super) fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.to.min(other.to))
    }

    /// Its length in milliseconds.
    pub(super) fn length(self) -> i64 {
        self.to - self.from
    }

    /// The days that it touches, as far as they can have data.
    pub(super) fn days(self) -> RangeInclusive<i64> {
        self.from.div_euclid(DAY_MS).max(0)..=(self.to - 1).div_euclid(DAY_MS).min(LAST_DAY)
    }
}

impl From<Range<i64>> for TimeRange {
    fn from(range: Range<i64>) -> Self {
        Self { from: range.start, to: range.end }
    }
}

impl FromStr for TimeRange {
    type Err = TimeRangeError;

    fn from_str(text: &str) -> Result<Self, TimeRangeError> {
        let time = |side: &str| {
            let time: Result<Timestamp, _> = side.parse();
            time.map(Timestamp::as_millisecond).map_err(|_| TimeRangeError::Time(side.to_owned()))
        };
        let (from, to) = text.split_once('/').ok_or(TimeRangeError::NoSlash)?;
        Self::new(time(from)?, time(to)?).ok_or(TimeRangeError::Empty)
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", iso(self.from), iso(self.to))
    }
}

impl fmt::Display for TimeRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlash => f.write_str("expected two times with a slash between them"),
            Self::Time(text) => write!(f, "`{text}` is not an RFC 3339 time"),
            Self::Empty => f.write_str("the end must be after the start"),
        }
    }
}

/// A time as the platforms write it: `2024-01-01T00:00:00.000Z`.
pub(super) fn iso(ms: i64) -> String {
    let nearest = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.3}", Timestamp::from_millisecond(ms).unwrap_or(nearest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_start_and_not_its_end_and_reads_back() {
        let day = TimeRange::day(19_782);
        let text = "2024-02-29T00:00:00.000Z/2024-03-01T00:00:00.000Z";
        assert_eq!((day.to_string().as_str(), text.parse()), (text, Ok(day)));
        assert!(day.contains(day.from) && !day.contains(day.to) && day.contains(day.to - 1));
        assert_eq!(
            (day.days(), TimeRange::from(day.from..day.to + 1).days()),
            (19_782..=19_782, 19_782..=19_783)
        );
        assert_eq!("a/b".parse::<TimeRange>(), Err(TimeRangeError::Time("a".to_owned())));
        assert_eq!(TimeRange::new(5, 5), None);
    }
}
