//! One page of a shard: the one place that loops over attempts. What a fault means is decided in
//! `retry`.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use tokio::time::{Duration, sleep};

use super::{Client, Halt, query::Query};
use crate::{
    auth,
    catalog::Dataset,
    fault::{Fault, Refusal},
    interval::Interval,
    offload::offload,
    retry::{self, Attempt, Decision},
    rows::Page,
    token::{GetToken, Token},
};

/// A page, or why there is none and what is to become of the shard.
pub enum Asked {
    /// The page.
    Page(Page),
    /// The shard is too big: bisect it.
    Split(Fault),
    /// The page is too large: ask for smaller ones.
    Shrink,
    /// The shard keeps failing: set it aside.
    Hopeless(Fault),
    /// The credentials may not read the dataset.
    Denied(Fault),
}

impl Client {
    /// The next page of a query, however many attempts it takes. A fault may ask to split it only if
    /// it is `splittable`.
    pub(super) async fn page(&self, query: &Query, splittable: bool) -> Result<Asked, Halt> {
        let mut attempt =
            Attempt { number: 1, tokenless: 0, rejections: 0, splittable, shrinkable: query.page_size > 1 };
        let mut rejected = None;
        loop {
            let fault = tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => return Err(Halt::Interrupted),
                tried = self.attempt(query, &mut rejected) => match tried? {
                    Ok(page) => return Ok(Asked::Page(page)),
                    Err(fault) => fault,
                }
            };
            attempt.tokenless = if matches!(fault, Fault::Login(_)) { attempt.tokenless + 1 } else { 0 };
            let fresh = rejected.is_some_and(|generation| generation > self.shared.accepted.load(Ordering::Relaxed));
            attempt.rejections = if fresh { attempt.rejections + 1 } else { 0 };
            let jitter = self.jitter.borrow_mut().f64();
            let decision = retry::decide(&fault, attempt, &self.shared.policy, jitter);
            tracing::debug!(interval = %query.asked, %fault, ?attempt, ?decision, "no page");
            match decision {
                Decision::Retry { after } => self.pause(after).await?,
                Decision::Throttled { after } => {
                    self.shared.board.rate_limited.add(1);
                    self.shared.budget.close(&self.shared.key, after);
                }
                Decision::Reauthenticate => {}
                Decision::Split => return Ok(Asked::Split(fault)),
                Decision::Shrink => return Ok(Asked::Shrink),
                Decision::GiveUp => return Ok(Asked::Hopeless(fault)),
                Decision::Deny => return Ok(Asked::Denied(fault)),
                Decision::Stop(stop) => return Err(Halt::Stopped { stop, fault }),
            }
            self.shared.board.retries.add(1);
            attempt.number += u32::from(attempt.tokenless == 0);
        }
    }

    /// One attempt: a permit, a token, a request, a reply, its rows. The permit comes first, since
    /// waiting for it can outlast a token.
    async fn attempt(&self, query: &Query, rejected: &mut Option<u64>) -> Result<Result<Page, Fault>, Halt> {
        self.shared.budget.admit(&self.shared.key).await;
        let token = match self.tokens.send(GetToken { rejected: rejected.take() }).await? {
            Ok(token) => token,
            Err(fault) => return Ok(Err(Fault::Login(fault))),
        };
        self.shared.board.requests.add(1);
        let reply = match self.request(query, &token) {
            Ok(request) => self.shared.transport.send(request).await,
            Err(error) => Err(Fault::Malformed(error)),
        };
        let body = match reply.and_then(success) {
            Err(fault) if is_rejection(&fault) => {
                *rejected = Some(token.generation);
                return Ok(Err(fault));
            }
            Err(fault) => return Ok(Err(fault)),
            Ok(body) => body,
        };
        self.shared.accepted.fetch_max(token.generation, Ordering::Relaxed);
        self.shared.board.bytes_received.add(body.len() as u64);
        let (decoder, interval) = (Arc::clone(&query.decoder), query.owner);
        let decoded = offload(move || decoder.decode(&body, interval)).await;
        Ok(decoded.map_err(|error| Fault::Malformed(error.to_string())).and_then(|page| query.plausible(page)))
    }

    /// How many rows the platform counts in an interval.
    ///
    /// # Errors
    /// Why it does not say, as a text.
    pub async fn total(&self, dataset: &Arc<Dataset>, interval: Interval) -> Result<u64, String> {
        match self.page(&Query::new(dataset, interval, 1), false).await {
            Ok(Asked::Page(page)) => page.total.ok_or_else(|| "the platform does not say".to_owned()),
            Ok(Asked::Split(fault) | Asked::Hopeless(fault) | Asked::Denied(fault)) => Err(fault.to_string()),
            Ok(Asked::Shrink) => Err("the page is too large".to_owned()),
            Err(halt) => Err(halt.to_string()),
        }
    }

    fn request(&self, query: &Query, token: &Token) -> Result<Request<Bytes>, String> {
        let dataset = &query.dataset;
        let url = self.shared.api.join(&dataset.path).map_err(|error| error.to_string())?;
        Request::builder()
            .method(dataset.method.clone())
            .uri(url.as_str())
            .header(AUTHORIZATION, auth::bearer(&token.secret).map_err(|error| error.to_string())?)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(query.body(&self.shared.filter).to_string().into())
            .map_err(|error| error.to_string())
    }

    async fn pause(&self, after: Duration) -> Result<(), Halt> {
        tokio::select! {
            () = self.shared.shutdown.cancelled() => Err(Halt::Interrupted),
            () = sleep(after) => Ok(()),
        }
    }
}

/// The body of a success; an empty one for 204.
fn success(reply: Response<Bytes>) -> Result<Bytes, Fault> {
    if reply.status().is_success() { Ok(reply.into_body()) } else { Err(Fault::Refused(Refusal::read(&reply))) }
}

fn is_rejection(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused(refusal) if refusal.status == StatusCode::UNAUTHORIZED)
}
