//! Lists of nearly empty objects, which would take many times the memory of their JSON.

use crate::decode::columns::{Column, Values};

/// The elements of a page's lists from which on lists of nearly empty objects do not fit: each of
/// them takes a place in every column inside it.
const MANY_ELEMENTS: usize = 1 << 16;

/// The fewest bytes of JSON that an object in such a list takes on average.
const MIN_ELEMENT_BYTES: usize = 16;

/// Whether a list has so little in its objects that it is not kept in their columns (G8). It has so
/// many elements in so many bytes, and the lists of the page up to it have `of_page` elements.
pub(super) fn is_sparse(element: &Column, of_page: usize, elements: usize, bytes: usize) -> bool {
    let is_object = matches!(element.values, Values::Struct(_));
    is_object && of_page > MANY_ELEMENTS && bytes < elements.saturating_mul(MIN_ELEMENT_BYTES)
}
