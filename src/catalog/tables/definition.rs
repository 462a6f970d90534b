//! What a catalog says about a table.

use arrow::datatypes::Fields;
use serde::Deserialize;

use crate::catalog::ValuePath;

/// A table as the catalog describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    pub name: String,
    /// The list whose elements are its rows. `None` if it has a row for each row of the dataset.
    pub rows: Option<ValuePath>,
    /// Values of what contains a row, which become columns of it.
    pub inherit: Vec<ValuePath>,
    /// Columns that are computed, by name.
    pub columns: Vec<(String, Computation<ValuePath>)>,
}

/// How a column is computed from the values of paths. Paths that lead through lists range over all
/// elements, except those of the lists that contain the row.
#[derive(Debug, Clone, PartialEq)]
pub enum Computation<P> {
    /// The first of the values that are not null. They are ordered by the earliest `by` in the same
    /// element of the innermost list that both paths share, then as they come. Values without `by`
    /// come last.
    First {
        /// The values.
        value: P,
        /// A time or an integer. `None` if the values keep their order.
        by: Option<P>,
    },
    /// The last of them, ordered by the latest `by`. Values without `by` come first.
    Last {
        /// The values.
        value: P,
        /// A time or an integer. `None` if the values keep their order.
        by: Option<P>,
    },
    /// The sum of all values, 0 if there are none, and null if it exceeds 64 bits.
    Sum {
        /// The values.
        values: P,
        /// Their unit.
        unit: Unit,
    },
    /// Whether there is any such element or value; of booleans, whether any is true.
    Any(P),
    /// The seconds from one time to another. Null if either is.
    Seconds([P; 2]),
}

/// The unit of the values of a sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// None is given: the sum is kept as it is.
    #[default]
    #[serde(skip)]
    None,
    /// Milliseconds. The sum is converted to seconds.
    #[serde(rename = "ms")]
    Milliseconds,
}

impl Unit {
    /// A sum in the unit of its column.
    pub(crate) fn convert(self, sum: f64) -> f64 {
        match self {
            Self::None => sum,
            Self::Milliseconds => sum / 1000.0,
        }
    }
}

impl<P> Computation<P> {
    /// The same computation from other paths, which `path` gives.
    ///
    /// # Errors
    /// Those of `path`.
    pub(super) fn map<Q, E>(
        &self,
        mut path: impl FnMut(&P) -> Result<Q, E>,
    ) -> Result<Computation<Q>, E> {
        let mut optional = |by: &Option<P>| by.as_ref().map(&mut path).transpose();
        Ok(match self {
            Self::First { value, by } => {
                let by = optional(by)?;
                Computation::First { value: path(value)?, by }
            }
            Self::Last { value, by } => {
                let by = optional(by)?;
                Computation::Last { value: path(value)?, by }
            }
            Self::Sum { values, unit } => Computation::Sum { values: path(values)?, unit: *unit },
            Self::Any(values) => Computation::Any(path(values)?),
            Self::Seconds([from, to]) => Computation::Seconds([path(from)?, path(to)?]),
        })
    }
}

impl Definition {
    /// The table if only the columns `fields` are fetched. `None` if its list is not.
    pub(super) fn without_missing(&self, fields: &Fields) -> Option<Self> {
        let is_there = |path: &ValuePath| path.leaf(fields).is_some();
        if self.rows.as_ref().is_some_and(|rows| !is_there(rows)) {
            return None;
        }
        let mut columns = self.columns.clone();
        columns.retain(|(_, computation)| {
            let all = computation.map(|path| if is_there(path) { Ok(()) } else { Err(()) });
            all.is_ok()
        });
        let mut inherit = self.inherit.clone();
        inherit.retain(is_there);
        Some(Self { name: self.name.clone(), rows: self.rows.clone(), inherit, columns })
    }
}
