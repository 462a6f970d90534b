//! The times of columns of batches, whose files may be of an earlier version of this program.

use arrow::{
    array::{Array, AsArray, PrimitiveArray},
    datatypes::{TimestampMicrosecondType, TimestampMillisecondType},
};

/// The unit of columns and that of intervals.
pub(super) const US_PER_MS: i64 = 1_000;

/// Times in microseconds since 1970.
pub(crate) type Times = PrimitiveArray<TimestampMicrosecondType>;

/// The times of a column. Files of earlier versions of this program have them in milliseconds.
/// `None` if the column has no times.
pub(crate) fn times_of(column: &dyn Array) -> Option<Times> {
    let microseconds = || column.as_primitive_opt::<TimestampMicrosecondType>().cloned();
    let milliseconds = || column.as_primitive_opt::<TimestampMillisecondType>();
    microseconds().or_else(|| Some(milliseconds()?.unary(|ms| ms.saturating_mul(US_PER_MS))))
}

/// The millisecond of a time in microseconds, rounded down.
pub(crate) fn millisecond(us: i64) -> i64 {
    us.div_euclid(US_PER_MS)
}
