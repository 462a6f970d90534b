//! How the values of columns are read, as the catalogue and `source.timezone` say.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::{
    catalog::{WireForm, type_places},
    decode::scalar::{self, Misfit, Scalar},
};

/// The forms of the values at a place in a row, and at the places inside it.
#[derive(Debug, Clone)]
pub(super) struct Forms<'d> {
    forms: &'d BTreeMap<String, WireForm>,
    zone: &'d TimeZone,
    /// The pattern of the place's path; see [`Dataset::forms`](crate::catalog::Dataset::forms).
    place: String,
}

impl<'d> Forms<'d> {
    /// The forms of rows whose times without a zone are of `zone`.
    pub(super) fn new(forms: &'d BTreeMap<String, WireForm>, zone: &'d TimeZone) -> Self {
        Self { forms, zone, place: String::new() }
    }

    /// Those of the field `name`.
    pub(super) fn field(&self, name: &str) -> Self {
        Self { place: type_places::join(&self.place, name), ..self.clone() }
    }

    /// Those of the elements of the list.
    pub(super) fn element(&self) -> Self {
        Self { place: format!("{}[]", self.place), ..self.clone() }
    }

    /// How numbers are read.
    pub(super) fn number(&self) -> &'static NumberForm {
        match self.form() {
            Some(WireForm::Duration) => &NumberForm {
                read: scalar::duration,
                expected: "a duration such as `PT1M` or a number",
            },
            _ => &NumberForm { read: scalar::number, expected: "a finite number" },
        }
    }

    /// How times are read.
    pub(super) fn time(&self) -> TimeForm {
        let (read, expected): (ReadTime, _) = match self.form() {
            Some(WireForm::Interval) => {
                (scalar::interval_start, "an interval such as `2024-01-01T00:00:00Z/P1D`")
            }
            Some(WireForm::Seconds) => (scalar::time_in_seconds, "a time or a number of seconds"),
            Some(WireForm::Milliseconds) => {
                (scalar::time_in_milliseconds, "a time or a number of milliseconds")
            }
            Some(WireForm::Microseconds) => {
                (scalar::time_in_microseconds, "a time or a number of microseconds")
            }
            Some(WireForm::Duration) | None => (
                scalar::time,
                "a time such as `2024-01-01T00:00:00Z` or milliseconds from 1990 to 2100",
            ),
        };
        TimeForm { read, zone: self.zone.clone(), expected }
    }

    fn form(&self) -> Option<WireForm> {
        self.forms.get(&self.place).copied()
    }
}

/// How a column of numbers is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumberForm {
    pub(super) read: ReadNumber,
    /// What a value has to be, for errors.
    pub(super) expected: &'static str,
}

type ReadNumber = fn(Scalar<'_>) -> Result<Option<f64>, Misfit>;
type ReadTime = fn(Scalar<'_>, &TimeZone) -> Result<Option<i64>, Misfit>;

/// How a column of times is read, as microseconds since 1970.
#[derive(Debug)]
pub(super) struct TimeForm {
    read: ReadTime,
    /// The zone of times that name none.
    zone: TimeZone,
    /// What a value has to be, for errors.
    pub(super) expected: &'static str,
}

impl TimeForm {
    pub(super) fn read(&self, value: Scalar<'_>) -> Result<Option<i64>, Misfit> {
        (self.read)(value, &self.zone)
    }
}
