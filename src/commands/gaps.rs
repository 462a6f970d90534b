//! Gaps: intervals of a dataset whose rows are missing or doubtful.

use serde::{Serialize, Serializer};

use crate::{
    ledger::{AcceptedInterval, DoubtfulInterval, Failure, GapKind},
    time::interval::{Interval, iso},
};

/// Why the rows of an interval are missing or doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// The interval failed, and is not committed.
    Failed,
    /// No run has fetched the interval yet.
    Missing,
    /// The platform cannot give the interval yet.
    NotYetAvailable,
    /// The interval is committed, but its rows are doubtful.
    Doubtful(GapKind),
}

/// An interval of a dataset whose rows are missing or doubtful. The summary and `status --json`
/// print this object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Name of the dataset.
    pub dataset: String,
    /// The interval, as the keys `from` and `to`.
    #[serde(flatten, serialize_with = "serialize_interval")]
    pub interval: Interval,
    /// Why there is a gap, as the key `kind`.
    #[serde(rename = "kind")]
    pub cause: GapCause,
    /// What happened.
    pub reason: String,
    /// The platform's correlation id of the last failed request; empty if there is none.
    pub correlation: String,
    /// Why a person accepted the gap. `None` if nobody did. An accepted gap stays visible, but does
    /// not change the exit code.
    pub accepted: Option<String>,
}

/// An interval as RFC 3339 times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeSpan {
    /// The start.
    pub from: String,
    /// The end, which the interval does not contain.
    pub to: String,
}

impl GapCause {
    /// The name of the cause in tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Missing => "missing",
            Self::NotYetAvailable => "not-yet-available",
            Self::Doubtful(kind) => kind.name(),
        }
    }
}

impl Gap {
    pub(crate) fn missing(dataset: &str, interval: Interval) -> Self {
        Self {
            dataset: dataset.to_owned(),
            interval,
            cause: GapCause::Missing,
            reason: "no run has fetched it yet".to_owned(),
            correlation: String::new(),
            accepted: None,
        }
    }

    pub(crate) fn not_yet_available(failure: &Failure) -> Self {
        Self { cause: GapCause::NotYetAvailable, ..Self::from(failure.clone()) }
    }

    /// Whether the gap makes the backfill incomplete.
    pub fn is_open(&self) -> bool {
        self.accepted.is_none()
    }

    /// Divides the gap into the parts that a person accepted and those that nobody did, in order.
    pub(crate) fn with_acceptance(self, accepted: &[AcceptedInterval]) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut open = vec![self.interval];
        for entry in accepted {
            for interval in std::mem::take(&mut open) {
                if let Some(interval) = interval.intersect(entry.interval) {
                    let accepted = Some(entry.reason.clone());
                    parts.push(Self { interval, accepted, ..self.clone() });
                }
                open.extend(interval.subtract(&[entry.interval]));
            }
        }
        parts.extend(open.into_iter().map(|interval| Self { interval, ..self.clone() }));
        parts.sort_by_key(|part| part.interval);
        parts
    }
}

impl From<Failure> for Gap {
    fn from(failure: Failure) -> Self {
        let Failure { dataset, interval, reason, correlation } = failure;
        Self { dataset, interval, cause: GapCause::Failed, reason, correlation, accepted: None }
    }
}

impl From<DoubtfulInterval> for Gap {
    fn from(doubtful: DoubtfulInterval) -> Self {
        let DoubtfulInterval { dataset, interval, kind, reason } = doubtful;
        let (cause, correlation) = (GapCause::Doubtful(kind), String::new());
        Self { dataset, interval, cause, reason, correlation, accepted: None }
    }
}

impl From<Interval> for TimeSpan {
    fn from(interval: Interval) -> Self {
        Self { from: iso(interval.from_ms()), to: iso(interval.to_ms()) }
    }
}

impl Serialize for GapCause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

fn serialize_interval<S: Serializer>(
    interval: &Interval,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    TimeSpan::from(*interval).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(from: i64, to: i64) -> Interval {
        Interval::new(from, to).unwrap()
    }

    fn accepted(from: i64, to: i64) -> AcceptedInterval {
        AcceptedInterval {
            dataset: "d".into(),
            interval: interval(from, to),
            reason: "lost by the platform".into(),
        }
    }

    #[test]
    fn the_parts_of_a_gap_that_nobody_accepted_stay_open() {
        let gap = Gap::missing("d", interval(0, 100));
        let parts = gap.with_acceptance(&[accepted(60, 200), accepted(-5, 10)]);
        let open: Vec<_> = parts.iter().map(|part| (part.interval, part.is_open())).collect();
        let expected =
            [(interval(0, 10), false), (interval(10, 60), true), (interval(60, 100), false)];
        assert_eq!(open, expected);
    }

    #[test]
    fn a_gap_is_one_flat_json_object() {
        let mut gap = Gap::missing("d", interval(0, 1));
        gap.accepted = Some("why".to_owned());
        let expected = serde_json::json!({
            "dataset": "d",
            "from": "1970-01-01T00:00:00.000Z",
            "to": "1970-01-01T00:00:00.001Z",
            "kind": "missing",
            "reason": "no run has fetched it yet",
            "correlation": "",
            "accepted": "why",
        });
        assert_eq!(serde_json::to_value(gap).unwrap(), expected);
    }
}
