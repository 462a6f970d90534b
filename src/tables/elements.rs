//! Which elements of nested lists become the rows of a table, and which elements contain them.

use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array},
    compute::take,
    error::ArrowError,
};

use crate::{
    catalog::ListStep,
    tables::{as_array, other_columns, values::List},
};

/// The list elements that are the rows of a table, and the elements and rows that contain them.
pub(super) struct Elements {
    /// From the outside in: the rows of the dataset, the elements of the first list, and so on up
    /// to the rows of the table.
    levels: Vec<Level>,
}

/// The elements of a list, or the rows of the dataset.
pub(super) struct Level {
    /// All of them.
    array: ArrayRef,
    /// Those that are in a row of the batch, in order, as indices of `array`.
    used: Vec<u32>,
    /// The position from 1 of each of `used` in its list.
    positions: Vec<i64>,
    /// For each row of the table the one of `used` that is the row or contains it.
    of_rows: Vec<u32>,
    /// For each row of the table the index in `array` of what is the row or contains it.
    elements_of_rows: Indices,
}

/// Which values are taken out of an array.
enum Indices {
    /// So many from a position on.
    Range(usize, usize),
    List(UInt32Array),
}

impl Elements {
    /// The elements of the last of `lists` in the rows of a batch.
    ///
    /// # Errors
    /// If the batch has no such lists.
    pub(super) fn of(rows: &RecordBatch, lists: &[ListStep]) -> Result<Self, ArrowError> {
        let count = u32::try_from(rows.num_rows()).map_err(|_| too_many())?;
        let (mut array, mut used) = (as_array(rows), (0..count).collect::<Vec<_>>());
        let (mut levels, mut all_outer) = (Vec::with_capacity(lists.len() + 1), Vec::new());
        let mut positions = Vec::new();
        for list in lists {
            let list = List::new(&array, list)?;
            let (mut inner, mut inner_positions, mut outer) = (Vec::new(), Vec::new(), Vec::new());
            for (index, &element) in (0u32..).zip(&used) {
                let range = list.range(element as usize);
                outer.resize(outer.len() + range.len(), index);
                inner_positions.extend((1i64..).take(range.len()));
                for element in range {
                    inner.push(u32::try_from(element).map_err(|_| too_many())?);
                }
            }
            let elements = list.into_elements();
            levels.push(Level {
                array,
                used,
                positions,
                of_rows: Vec::new(),
                elements_of_rows: Indices::Range(0, 0),
            });
            (array, used, positions) = (elements, inner, inner_positions);
            all_outer.push(outer);
        }
        let count = u32::try_from(used.len()).map_err(|_| too_many())?;
        levels.push(Level {
            array,
            used,
            positions,
            of_rows: (0..count).collect(),
            elements_of_rows: Indices::Range(0, 0),
        });
        for (number, outer) in all_outer.iter().enumerate().rev() {
            let inner = &levels[number + 1].of_rows;
            let of_rows = inner.iter().map(|&index| outer[index as usize]).collect();
            levels[number].of_rows = of_rows;
        }
        for level in &mut levels {
            let elements = level.of_rows.iter().map(|&index| level.used[index as usize]);
            level.elements_of_rows = Indices::new(elements.map(Some), level.of_rows.len());
        }
        Ok(Self { levels })
    }

    /// The rows of the dataset (0), or the elements of the nth list that are the rows or contain
    /// them.
    pub(super) fn level(&self, number: usize) -> Result<&Level, ArrowError> {
        self.levels.get(number).ok_or_else(other_columns)
    }
}

impl Level {
    /// All elements, those included that are in no row.
    pub(super) fn array(&self) -> &ArrayRef {
        &self.array
    }

    /// Those that are in a row, in order, as indices of all.
    pub(super) fn used(&self) -> &[u32] {
        &self.used
    }

    /// For each row of the table the position, from 1, of the element that is or contains it.
    pub(super) fn numbers(&self) -> Vec<i64> {
        self.of_rows.iter().map(|&index| self.positions[index as usize]).collect()
    }

    /// Repeats values, given for all elements, for the rows of the table.
    pub(super) fn repeat(&self, values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        self.elements_of_rows.take(values)
    }

    /// Repeats values for the rows of the table. `chosen` has the index of the value of each used
    /// element. Null where it has none.
    pub(super) fn pick(
        &self,
        values: &ArrayRef,
        chosen: &[Option<u32>],
    ) -> Result<ArrayRef, ArrowError> {
        let indices = self.of_rows.iter().map(|&index| chosen[index as usize]);
        Indices::new(indices, self.of_rows.len()).take(values)
    }

    /// Repeats values, given for the used elements, for the rows of the table.
    pub(super) fn spread(&self, values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        Indices::new(self.of_rows.iter().copied().map(Some), self.of_rows.len()).take(values)
    }
}

impl Indices {
    /// These indices, of which there are so many.
    fn new(indices: impl Iterator<Item = Option<u32>> + Clone, count: usize) -> Self {
        let start = indices.clone().next().flatten().unwrap_or_default();
        if indices.clone().eq((start..).take(count).map(Some)) {
            return Self::Range(start as usize, count);
        }
        Self::List(indices.collect())
    }

    /// The values at these indices. If they are a range, nothing is copied.
    fn take(&self, values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Range(start, count) => Ok(values.slice(*start, *count)),
            Self::List(indices) => take(values, indices, None),
        }
    }
}

fn too_many() -> ArrowError {
    ArrowError::ComputeError("a batch has more elements than 32 bits count".to_owned())
}
