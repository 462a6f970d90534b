//! How many requests an endpoint needs for so many rows.

use crate::catalog::{Dataset, Endpoint, Paging};

/// The polls of a typical job: its first one comes when it is expected to be done (see
/// `job_waits`).
const TYPICAL_POLLS: u64 = 1;

/// The requests that return this many items, without retries. `None` if the number of items is not
/// known, or the endpoint is queried per parent.
pub(crate) fn request_count(
    endpoint: &Endpoint,
    items: Option<u64>,
    page_size: u32,
) -> Option<u64> {
    if endpoint.parent.is_some() {
        return None;
    }
    let pages = match endpoint.paging {
        Paging::None => 1,
        _ => endpoint.pages_of(items?, page_size),
    };
    let around_pages = endpoint
        .async_job
        .as_ref()
        .map_or(0, |job| 1 + TYPICAL_POLLS + u64::from(job.delete.is_some()));
    Some(around_pages + pages)
}

/// The requests that return so many rows by their ids. `None` if the dataset has no endpoint that
/// does.
pub(crate) fn request_count_by_id(dataset: &Dataset, rows: u64, page_size: u32) -> Option<u64> {
    let ids = page_size.min(dataset.by_id.as_ref()?.page_size);
    Some(rows.div_ceil(ids.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn the_requests_of_a_job_are_its_pages_and_those_around_them() {
        let dataset = catalog::test_dataset("conversations");
        let (query, job) = (dataset.query.as_ref().unwrap(), dataset.job.as_ref().unwrap());
        let requests = |endpoint: &Endpoint, rows| request_count(endpoint, rows, u32::MAX);
        assert_eq!(
            (requests(query, Some(20_000)), requests(job, Some(20_000))),
            (Some(201), Some(23))
        );
        assert_eq!((requests(query, None), requests(query, Some(0))), (None, Some(1)));
    }
}
