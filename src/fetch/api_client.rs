//! Requests to the API outside a shard's pages: counts, first pages, ids of parents.

use std::{cell::RefCell, sync::Arc};

use actix::prelude::*;
use dashmap::DashMap;
use tokio::sync::OnceCell;

use crate::{
    auth::token::TokenActor,
    catalog::{Dataset, Endpoint},
    decode::RawPage,
    fetch::{
        FetchContext, FetchError, ShardError, ShardWork, pagination::Pager,
        send_with_retry::RequestOptions,
    },
    http::error::RequestError,
    time::interval::Interval,
};

/// Ids that the first who needs them lists.
type ListedIds = Arc<OnceCell<Arc<[String]>>>;

/// The ids of parent datasets that a run has listed, by dataset and interval.
#[derive(Debug, Default)]
pub(crate) struct ListedParents(DashMap<(String, Interval), ListedIds>);

impl ListedParents {
    /// The cell for the ids of a dataset in an interval: the first who needs them fills it.
    fn of(&self, dataset: &str, interval: Interval) -> ListedIds {
        Arc::clone(&self.0.entry((dataset.to_owned(), interval)).or_default())
    }
}

/// Sends requests to the API, with a token, within the quota and with retries.
pub(crate) struct ApiClient {
    /// What it shares with the other clients of the run.
    pub context: Arc<FetchContext>,
    /// Provides tokens.
    pub tokens: Addr<TokenActor>,
    /// Randomizes pauses. Never borrowed across an await.
    pub jitter: RefCell<fastrand::Rng>,
    /// What its requests have cost.
    pub work: ShardWork,
}

impl ApiClient {
    /// Returns a pager for an interval, with the configured page size and filter.
    pub(crate) fn pager(
        &self,
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
    ) -> Pager {
        self.pager_of_size(dataset, endpoint, interval, self.context.settings.page_size)
    }

    fn pager_of_size(
        &self,
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
        page_size: u32,
    ) -> Pager {
        let filter = self.context.filters.get(&dataset.name).cloned().unwrap_or_default();
        Pager::new(dataset, endpoint, interval, page_size, &self.context.request, &filter)
    }

    /// Asks the platform how many rows it has in an interval.
    pub(crate) async fn count_rows(
        &self,
        dataset: &Arc<Dataset>,
        interval: Interval,
    ) -> Result<u64, FetchError> {
        let mut pager = self.pager_of_size(dataset, dataset.endpoint(), interval, 1);
        let Some(request) = pager.next_request() else { return Ok(0) };
        let read = pager.response_reader();
        let page = self.send_with_retry(request, RequestOptions::default(), read).await?;
        if page.is_nothing {
            return Ok(0);
        }
        let missing = || RequestError::Malformed("the response has no total".into());
        Ok(page.total.ok_or_else(|| ShardError::Failed(missing()))?)
    }

    /// Fetches the first page of an interval; of a child endpoint, that of the first parent.
    pub(crate) async fn first_page(
        &self,
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
    ) -> Result<RawPage, FetchError> {
        let mut pager = self.pager(dataset, endpoint, interval);
        if pager.lacks_parents() {
            let parents = self.parent_ids(&pager).await?;
            pager.set_parents(parents.iter().take(1).cloned().collect());
        }
        let Some(request) = pager.next_request() else { return Ok(RawPage::nothing()) };
        self.send_with_retry(request, RequestOptions::default(), pager.response_reader()).await
    }

    /// The ids of the parent dataset that a child endpoint is queried for. They are listed once a
    /// run.
    pub(super) async fn parent_ids(&self, child: &Pager) -> Result<Arc<[String]>, FetchError> {
        let parent = child.endpoint.parent.as_ref();
        let Some(dataset) = parent.and_then(|parent| self.context.parents.get(&parent.dataset))
        else {
            return Ok(Arc::default());
        };
        // a snapshot of parents is of today, whatever interval of their children is requested
        let interval =
            dataset.requested(child.requested, self.context.request.now).unwrap_or(child.requested);
        let listed = self.context.listed_parents.of(&dataset.name, interval);
        let ids = listed.get_or_try_init(|| self.list_ids(dataset, interval)).await?;
        Ok(Arc::clone(ids))
    }

    /// Fetches the ids of all rows of a dataset.
    async fn list_ids(
        &self,
        dataset: &Arc<Dataset>,
        interval: Interval,
    ) -> Result<Arc<[String]>, FetchError> {
        let mut pager = self.pager(dataset, dataset.endpoint(), interval);
        let mut ids = Vec::new();
        while let Some(request) = pager.next_request() {
            let read = pager.response_reader();
            let page = self.send_with_retry(request, RequestOptions::default(), read).await?;
            pager.advance(&page)?;
            ids.extend(pager.ids(&page).map_err(ShardError::Failed)?);
        }
        if !pager.is_finished() {
            let reason = format!(
                "paging of the parent dataset {} ends at {} rows",
                dataset.name, pager.endpoint.depth
            );
            return Err(ShardError::Failed(RequestError::Pagination(reason.into())).into());
        }
        Ok(ids.into())
    }
}
