//! Open rows of a committed shard, requested by their ids.
//!
//! The sink writes the committed rows once more, and the rows that the platform returns by id take
//! the place of their older copies; the commit replaces the shard. So a few rows that are still
//! open cost a few requests, whatever the shard has.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use crate::{
    catalog::Endpoint,
    decode::RawPage,
    fetch::{
        FetchError, FetchTotals, Fetcher, ShardError, fetch_pages::PagesInFlight,
        send_with_retry::RequestOptions, shard_progress::ShardProgress,
    },
    http::error::RequestError,
    sink::CarryOver,
};

/// The most requests of one shard that may be answered "not found" before the first that is not.
/// With more, the platform seems not to return rows by id at all.
const MOST_NOT_FOUND: u32 = 8;

impl Fetcher {
    /// Writes the committed rows of a shard once more, with newer copies of those that are open.
    /// Returns whether that worked. If not, nothing is written, and the shard is to be fetched
    /// whole.
    ///
    /// # Errors
    /// Only those that end the run.
    pub(super) async fn fetch_open_rows(
        &self,
        progress: &mut ShardProgress,
        totals: &mut FetchTotals,
    ) -> Result<bool, FetchError> {
        let dataset = Arc::clone(&progress.shard().dataset);
        let Some(endpoint) = &dataset.by_id else { return Ok(false) };
        let (lease, shard) = (progress.lease.id(), progress.shard().clone());
        if let Some(carried) = self.sink.send(CarryOver { lease, shard, rows_of: None }).await?? {
            progress.received += carried.rows;
            match self.fetch_by_id(progress, endpoint, &carried.open_ids, totals).await {
                Ok(()) => return Ok(true),
                Err(FetchError::Shard(error)) => {
                    let error = error.into_request_error();
                    tracing::warn!(%error, "cannot fetch the open rows by id; fetching all rows");
                }
                Err(error) => return Err(error),
            }
        }
        self.restart(progress, progress.pager.page_size).await?;
        Ok(false)
    }

    /// Writes the rows with these ids. An id that the platform does not know any more is left out.
    async fn fetch_by_id(
        &self,
        progress: &mut ShardProgress,
        endpoint: &Arc<Endpoint>,
        ids: &[String],
        totals: &mut FetchTotals,
    ) -> Result<(), FetchError> {
        let pager =
            || self.client.pager(&progress.pager.dataset, endpoint, progress.pager.requested);
        let ids_per_request = usize::try_from(pager().page_size).unwrap_or(usize::MAX);
        let mut batches: VecDeque<&[String]> = ids.chunks(ids_per_request).collect();
        let (mut is_found, mut not_found) = (false, 0);
        while let Some(ids) = batches.pop_front() {
            let mut pager =
                self.client.pager(&progress.pager.dataset, endpoint, progress.pager.requested);
            pager.ids = ids.to_vec();
            let Some(request) = pager.next_request() else { continue };
            let read = pager.response_reader();
            match self.client.send_with_retry(request, RequestOptions::default(), read).await {
                Ok(page) => {
                    is_found = true;
                    refuse_other_rows(progress, &page, ids)?;
                    let mut in_flight = PagesInFlight::new();
                    self.write_page(progress, page, &mut in_flight, totals).await?;
                }
                Err(FetchError::Shard(ShardError::Failed(error))) if error.is_not_found() => {
                    not_found += 1;
                    if !is_found && not_found > MOST_NOT_FOUND {
                        return Err(ShardError::Failed(error).into());
                    }
                    // one of them is not there: ask for each half, and leave a single one out
                    if ids.len() > 1 {
                        let (first, second) = ids.split_at(ids.len() / 2);
                        batches.push_front(second);
                        batches.push_front(first);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Refuses a page with rows that were not requested, or with rows that cannot be decoded: nothing
/// but the requested rows may change.
fn refuse_other_rows(
    progress: &ShardProgress,
    page: &RawPage,
    ids: &[String],
) -> Result<(), ShardError> {
    let requested: HashSet<&String> = ids.iter().collect();
    let found = progress.pager.ids(page).map_err(ShardError::Failed)?;
    match found.iter().find(|id| !requested.contains(id)) {
        Some(other) => Err(ShardError::Failed(RequestError::Malformed(
            format!("the response has the row `{other}`, which was not requested").into(),
        ))),
        None => Ok(()),
    }
}
