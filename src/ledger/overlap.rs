//! Finds the records that overlap an interval.

/// The SQL condition for the records of a table that belong to the dataset `?1` and overlap the
/// interval from `?2` to `?3`.
///
/// The records of a dataset must be disjoint and indexed by `from_ms`. Then at most one that begins
/// before the interval reaches into it: the last one. So the records that are read are those that
/// overlap, and their number does not grow with the table.
macro_rules! overlapping {
    ($table:literal) => {
        concat!(
            "dataset = ?1 AND to_ms > ?2 AND from_ms < ?3 AND from_ms >= COALESCE((SELECT \
             MAX(from_ms) FROM ",
            $table,
            " WHERE dataset = ?1 AND from_ms <= ?2), ?2)"
        )
    };
}

pub(super) use overlapping;
