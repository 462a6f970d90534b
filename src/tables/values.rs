//! The values at a path of nested rows, in the order in which they stand in a row.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray},
    buffer::OffsetBuffer,
    compute::nullif,
    error::ArrowError,
};

use crate::{
    catalog::{ListStep, Lookup, Member, ValuePath},
    tables::{as_array, other_columns},
};

/// The values that a path leads to from the elements of an array.
pub(crate) struct Values {
    lists: Vec<List>,
    /// The values.
    pub leaf: ArrayRef,
}

/// A list, or a map as a list of its entries.
pub(super) struct List {
    /// The list itself, of which only the nulls are read.
    array: ArrayRef,
    offsets: OffsetBuffer<i32>,
    elements: ArrayRef,
    /// The texts to compare with the one that an element must have.
    filter: Option<(StringArray, String)>,
}

impl Values {
    /// The values of a path in the rows of a batch. `None` if it lacks a column of the path.
    pub(crate) fn of(rows: &RecordBatch, path: &ValuePath) -> Option<Self> {
        let (lookup, _) = Lookup::of(path, rows.schema_ref().fields())?;
        Self::new(&as_array(rows), &lookup.lists, &lookup.value).ok()
    }

    /// The values at `value` in the elements of `lists`, which begin in the elements of `array`.
    ///
    /// # Errors
    /// If there are no such lists or values.
    pub(super) fn new(
        array: &ArrayRef,
        lists: &[ListStep],
        value: &[Member],
    ) -> Result<Self, ArrowError> {
        let (mut array, mut bound) = (Arc::clone(array), Vec::with_capacity(lists.len()));
        for step in lists {
            let list = List::new(&array, step)?;
            array = Arc::clone(&list.elements);
            bound.push(list);
        }
        Ok(Self { lists: bound, leaf: member(&array, value)? })
    }

    /// Calls `visit` with the index of each value inside `element`, which lies in the first `depth`
    /// of the lists, until it returns false. Returns whether it never did.
    pub(crate) fn visit(
        &self,
        depth: usize,
        element: usize,
        visit: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        visit_lists(self.lists.get(depth..).unwrap_or_default(), element, visit)
    }

    /// Adds all values of an element that are not null to `start`.
    pub(crate) fn fold<T: Copy>(&self, element: usize, start: T, add: impl Fn(T, usize) -> T) -> T {
        let mut sum = start;
        self.visit(0, element, &mut |index| {
            if self.leaf.is_valid(index) {
                sum = add(sum, index);
            }
            true
        });
        sum
    }

    /// Calls `visit` with each element below the first `depth` lists, until it returns false.
    pub(super) fn visit_elements(
        &self,
        depth: usize,
        element: usize,
        visit: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        visit_lists(self.lists.get(..depth).unwrap_or_default(), element, visit)
    }
}

fn visit_lists(lists: &[List], element: usize, visit: &mut dyn FnMut(usize) -> bool) -> bool {
    let Some((list, inner)) = lists.split_first() else { return visit(element) };
    list.range(element)
        .filter(|&element| list.is_meant(element))
        .all(|element| visit_lists(inner, element, visit))
}

impl List {
    /// # Errors
    /// If `array` has no such list.
    pub(super) fn new(array: &ArrayRef, step: &ListStep) -> Result<Self, ArrowError> {
        let array = member(array, &step.members)?;
        let (offsets, elements) = match (array.as_list_opt::<i32>(), array.as_map_opt()) {
            (Some(list), _) => (list.offsets().clone(), Arc::clone(list.values())),
            (_, Some(map)) => (map.offsets().clone(), Arc::new(map.entries().clone()) as ArrayRef),
            _ => return Err(other_columns()),
        };
        let filter = match &step.filter {
            Some((key, text)) => {
                let keys = member(&elements, std::slice::from_ref(key))?;
                let keys = keys.as_string_opt::<i32>().ok_or_else(other_columns)?;
                Some((keys.clone(), text.clone()))
            }
            None => None,
        };
        Ok(Self { array, offsets, elements, filter })
    }

    /// The elements of the list at an index, whatever the filter. Empty if it is null.
    pub(super) fn range(&self, index: usize) -> Range<usize> {
        if self.array.is_null(index) {
            return 0..0;
        }
        let offset = |index: usize| usize::try_from(self.offsets[index]).unwrap_or_default();
        offset(index)..offset(index + 1)
    }

    /// Whether the filter lets an element pass.
    fn is_meant(&self, element: usize) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|(keys, text)| keys.is_valid(element) && keys.value(element) == text)
    }

    pub(super) fn into_elements(self) -> ArrayRef {
        self.elements
    }
}

/// The field that `members` lead to. What lies in an object that is null is null.
///
/// # Errors
/// If there is no such field.
pub(super) fn member(array: &ArrayRef, members: &[Member]) -> Result<ArrayRef, ArrowError> {
    let Some((first, rest)) = members.split_first() else { return Ok(Arc::clone(array)) };
    let object = array.as_struct_opt().ok_or_else(other_columns)?;
    let field = object.columns().get(first.index).ok_or_else(other_columns)?;
    match object.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => {
            let is_null = BooleanArray::new(!nulls.inner(), None);
            member(&nullif(field, &is_null)?, rest)
        }
        None => member(field, rest),
    }
}
