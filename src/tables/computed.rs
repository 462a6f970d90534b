//! The columns that a catalog computes. A value is computed once for each list element that it
//! belongs to, and repeated for all rows of the table that lie in this element.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType},
    error::ArrowError,
};

use crate::{
    catalog::{Computation, Lookup, Unit, shared_lists},
    tables::{
        elements::{Elements, Level},
        other_columns,
        values::{Values, member},
    },
};

/// The values of a computed column for the rows of a table.
///
/// # Errors
/// If the rows have other columns than their dataset.
pub(super) fn column(
    computation: &Computation<Lookup>,
    elements: &Elements,
) -> Result<ArrayRef, ArrowError> {
    match computation {
        Computation::First { value, by } => picked(value, by.as_ref(), false, elements),
        Computation::Last { value, by } => picked(value, by.as_ref(), true, elements),
        Computation::Sum { values, unit } => {
            let level = elements.level(values.level)?;
            level.spread(&sums(values, *unit, level)?)
        }
        Computation::Any(values) => {
            let level = elements.level(values.level)?;
            level.spread(&anys(values, level)?)
        }
        Computation::Seconds([from, to]) => seconds(from, to, elements),
    }
}

/// The first or the last value of each used element.
fn picked(
    value: &Lookup,
    by: Option<&Lookup>,
    is_last: bool,
    elements: &Elements,
) -> Result<ArrayRef, ArrowError> {
    let level = elements.level(value.level)?;
    let values = Values::new(level.array(), &value.lists, &value.value)?;
    let order = match by {
        Some(by) => Some(Order::new(by, shared_lists(&value.lists, &by.lists), level)?),
        None => None,
    };
    let shared = order.as_ref().map_or(0, |order| order.shared);
    let pick = |&element: &u32| {
        let mut best: Option<(Option<i64>, usize)> = None;
        values.visit_elements(shared, element as usize, &mut |element| {
            let key = order.as_ref().and_then(|order| order.of(element, is_last));
            values.visit(shared, element, &mut |index| {
                let wins = best.is_none_or(|(other, _)| wins(key, other, is_last));
                if values.leaf.is_valid(index) && wins {
                    best = Some((key, index));
                }
                // without an order the first one is the first
                order.is_some() || is_last || best.is_none()
            })
        });
        best.and_then(|(_, index)| u32::try_from(index).ok())
    };
    let chosen: Vec<_> = level.used().iter().map(pick).collect();
    level.pick(&values.leaf, &chosen)
}

/// Whether a value with `key` comes before (or after) the best one so far, which came earlier.
fn wins(key: Option<i64>, best: Option<i64>, is_last: bool) -> bool {
    match (key, best) {
        (Some(key), Some(best)) if is_last => key >= best,
        (Some(key), Some(best)) => key < best,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => is_last,
    }
}

/// The times that values are ordered by.
struct Order {
    values: Values,
    times: Int64Array,
    /// How many lists their path shares with that of the values.
    shared: usize,
}

impl Order {
    fn new(by: &Lookup, shared: usize, level: &Level) -> Result<Self, ArrowError> {
        let values = Values::new(level.array(), &by.lists, &by.value)?;
        let times = cast(&values.leaf, &DataType::Int64)?;
        Ok(Self { times: times.as_primitive::<Int64Type>().clone(), values, shared })
    }

    /// The earliest or the latest of an element of the innermost shared list.
    fn of(&self, element: usize, is_last: bool) -> Option<i64> {
        let mut best: Option<i64> = None;
        self.values.visit(self.shared, element, &mut |index| {
            if self.times.is_valid(index) {
                let time = self.times.value(index);
                let is_better = |best| if is_last { time > best } else { time < best };
                if best.is_none_or(is_better) {
                    best = Some(time);
                }
            }
            true
        });
        best
    }
}

/// The sum of the values of each used element.
fn sums(lookup: &Lookup, unit: Unit, level: &Level) -> Result<ArrayRef, ArrowError> {
    let values = Values::new(level.array(), &lookup.lists, &lookup.value)?;
    let elements = level.used().iter().map(|&element| element as usize);
    if let Some(numbers) = values.leaf.as_primitive_opt::<Float64Type>() {
        let sum = |element| values.fold(element, 0.0, |sum, index| sum + numbers.value(index));
        let sums = elements.map(|element| Some(unit.convert(sum(element))));
        return Ok(Arc::new(sums.collect::<Float64Array>()));
    }
    let numbers = values.leaf.as_primitive_opt::<Int64Type>().ok_or_else(other_columns)?;
    let add = |sum, index| sum + i128::from(numbers.value(index));
    let sums = elements.map(|element| values.fold(element, 0, add));
    Ok(match unit {
        Unit::None => Arc::new(sums.map(|sum| i64::try_from(sum).ok()).collect::<Int64Array>()),
        Unit::Milliseconds => {
            let sums = sums.map(|sum| Some(unit.convert(sum as f64)));
            Arc::new(sums.collect::<Float64Array>())
        }
    })
}

/// Whether each used element has any of the values.
fn anys(lookup: &Lookup, level: &Level) -> Result<ArrayRef, ArrowError> {
    let values = Values::new(level.array(), &lookup.lists, &lookup.value)?;
    let booleans = values.leaf.as_boolean_opt();
    let counts = |index: usize| {
        values.leaf.is_valid(index) && booleans.is_none_or(|booleans| booleans.value(index))
    };
    let has_any =
        |&element: &u32| Some(!values.visit(0, element as usize, &mut |index| !counts(index)));
    Ok(Arc::new(level.used().iter().map(has_any).collect::<BooleanArray>()))
}

/// The seconds between two times of each row of the table.
fn seconds(from: &Lookup, to: &Lookup, elements: &Elements) -> Result<ArrayRef, ArrowError> {
    let times = |lookup: &Lookup| {
        let level = elements.level(lookup.level)?;
        let times = level.repeat(&member(level.array(), &lookup.value)?)?;
        let times = times.as_primitive_opt::<TimestampMicrosecondType>();
        times.cloned().ok_or_else(other_columns)
    };
    let (from, to) = (times(from)?, times(to)?);
    let between = |(from, to): (Option<i64>, Option<i64>)| {
        Some((i128::from(to?) - i128::from(from?)) as f64 / 1e6)
    };
    Ok(Arc::new(from.iter().zip(&to).map(between).collect::<Float64Array>()))
}
