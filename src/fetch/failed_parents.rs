//! Parents whose rows cannot be fetched: each fails alone, and the rows of the others are
//! committed.

use crate::{
    fetch::{FetchError, Fetcher, ShardError, shard_progress::ShardProgress},
    http::error::RequestError,
    server_text::ServerText,
    sink::{CarryOver, ParentRows},
};

/// With so many parents in a row that failed, the shard fails.
const MOST_IN_A_ROW: usize = 10;
/// The most parents that a message names.
const MOST_NAMED: usize = 5;

/// The parents of a shard whose rows could not be fetched.
#[derive(Debug, Default)]
pub(crate) struct FailedParents {
    /// The id of each parent and why it failed.
    failed: Vec<(String, RequestError)>,
    /// Whether the credentials may not read the last one that failed.
    is_denied: bool,
    /// How many of the last ones failed in a row.
    in_a_row: usize,
    /// Whether rows of any parent were fetched.
    has_fetched: bool,
}

impl FailedParents {
    /// Takes a page of a parent into account.
    pub(super) fn record_page(&mut self) {
        self.in_a_row = 0;
        self.has_fetched = true;
    }

    /// Whether another parent may fail alone.
    fn may_fail(&self) -> bool {
        self.in_a_row + 1 < MOST_IN_A_ROW
    }

    /// Records that a parent failed.
    fn record(&mut self, id: String, error: RequestError) {
        self.in_a_row += 1;
        self.is_denied = false;
        self.failed.push((id, error));
    }

    fn ids(&self) -> Vec<String> {
        self.failed.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Which parents failed and why. `None` if none did.
    pub(super) fn reason(&self, parent_dataset: &str) -> Option<String> {
        if self.failed.is_empty() {
            return None;
        }
        let mut named: Vec<_> = (self.failed.iter().take(MOST_NAMED))
            .map(|(id, error)| format!("`{}`: {error}", ServerText::quote(id)))
            .collect();
        if self.failed.len() > MOST_NAMED {
            named.push(format!("and {} more", self.failed.len() - MOST_NAMED));
        }
        let count = self.failed.len();
        Some(format!(
            "the rows of {count} of the {parent_dataset} are missing: {}",
            named.join("; ")
        ))
    }
}

impl Fetcher {
    /// Goes on with the next parent if the rows of the present one cannot be fetched.
    ///
    /// # Errors
    /// `error` if it does not concern the present parent alone.
    pub(super) fn skip_failed_parent(
        &self,
        progress: &mut ShardProgress,
        error: FetchError,
    ) -> Result<(), FetchError> {
        let may_fail = progress.failed_parents.may_fail();
        let Some(id) = progress.pager.parent_id().map(str::to_owned).filter(|_| may_fail) else {
            return Err(error);
        };
        match error {
            // it was deleted since parents were listed
            FetchError::Shard(ShardError::Failed(error)) if error.is_not_found() => {}
            FetchError::Shard(ShardError::Failed(error)) => fail_parent(progress, id, error),
            FetchError::Shard(ShardError::Denied(error)) => {
                fail_parent(progress, id, error);
                progress.failed_parents.is_denied = true;
            }
            error => return Err(error),
        }
        progress.pager.skip_parent();
        Ok(())
    }

    /// Decides about a shard whose parents have all been asked. If it replaces committed rows,
    /// those of parents that failed stay as they are.
    ///
    /// # Errors
    /// [`ShardError::Failed`] or [`ShardError::Denied`] if no rows of any parent could be fetched,
    /// or if the committed rows cannot be kept.
    pub(super) async fn settle_failed_parents(
        &self,
        progress: &mut ShardProgress,
    ) -> Result<(), FetchError> {
        let failed = &progress.failed_parents;
        let Some((id, error)) = failed.failed.last() else { return Ok(()) };
        if !failed.has_fetched {
            let error = error.clone();
            return Err(match failed.is_denied {
                true => ShardError::Denied(error).into(),
                false => ShardError::Failed(error).into(),
            });
        }
        let shard = progress.shard().clone();
        let endpoint = &progress.pager.endpoint;
        let Some(parent) = endpoint.parent.as_ref().filter(|_| shard.replaces) else {
            return Ok(());
        };
        let id = ServerText::quote(id);
        let lost =
            RequestError::AsyncJob(format!("`{id}` of the {}: {error}", parent.dataset).into());
        let rows_of = Some(ParentRows { column: parent.column.clone(), ids: failed.ids() });
        let lease = progress.lease.id();
        match self.sink.send(CarryOver { lease, shard, rows_of }).await?? {
            Some(carried) => {
                progress.received += carried.rows;
                Ok(())
            }
            None => Err(ShardError::Failed(lost).into()),
        }
    }
}

/// Records that the rows of a parent cannot be fetched, and names it.
pub(super) fn fail_parent(progress: &mut ShardProgress, id: String, error: RequestError) {
    let parent = ServerText::quote(&id);
    tracing::error!(%parent, %error, "the rows of a parent cannot be fetched; the others go on");
    progress.failed_parents.record(id, error);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_a_few_of_many_failed_parents() {
        let mut parents = FailedParents::default();
        assert_eq!(parents.reason("queues"), None);
        for id in ["a", "b", "c", "d", "e", "f", "g"] {
            parents.record(id.to_owned(), RequestError::Malformed(format!("no {id}").into()));
        }
        let reason = parents.reason("queues").unwrap();
        assert!(reason.starts_with("the rows of 7 of the queues are missing: `a`: "), "{reason}");
        assert!(reason.ends_with("no e; and 2 more"), "{reason}");
    }

    #[test]
    fn ten_failed_parents_in_a_row_are_too_many() {
        let mut parents = FailedParents::default();
        for number in 0..30 {
            assert!(parents.may_fail());
            parents.record(number.to_string(), RequestError::Malformed("".into()));
            if number % 9 == 8 {
                parents.record_page();
            }
        }
        for number in 0..6 {
            parents.record(number.to_string(), RequestError::Malformed("".into()));
        }
        assert!(!parents.may_fail());
    }
}
