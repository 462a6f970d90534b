//! [`TokenActor`]: one token for the whole run (G7).
//!
//! While a token request is in flight, the actor's mailbox is closed: callers queue in it and get
//! the new token. So at most one token request is in flight, and a rejected generation is renewed
//! once, however many fetchers it was rejected for. [`TokenState`] decides when a new token is due,
//! [`refresh`] requests it, and [`cache`] keeps it from run to run.

pub(crate) mod cache;
pub(crate) mod refresh;
pub(crate) mod state;

use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio::time::Instant;
use tracing::{Instrument, Span};

pub use self::refresh::{TokenClient, TokenSource};
pub(crate) use self::state::RenewalPolicy;
use self::state::TokenState;
use crate::{auth::TokenResponse, http::error::TokenError};

/// Counts the tokens of a run. A 401 names the generation that it rejects.
pub(crate) type Generation = u64;

/// A token that was valid when it was returned.
#[derive(Debug, Clone)]
pub struct Token {
    /// The number of the token in this run.
    pub generation: Generation,
    /// The token.
    pub secret: SecretString,
    /// When the last token request ended, whether it succeeded or not.
    pub requested: Instant,
}

/// Requests a token.
#[derive(Debug, Clone, Copy, Default, Message)]
#[rtype(result = "Result<Token, TokenError>")]
pub struct GetToken {
    /// The generation that the server has just answered with 401. `None` if it rejected none.
    pub rejected: Option<Generation>,
}

/// Is answered when no token request is in flight. A run waits for this before it ends, so that a
/// replaced refresh token is stored in the cache.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain;

/// Actor around [`TokenState`]; its mailbox queues callers while a token request is in flight.
pub struct TokenActor {
    state: TokenState,
    source: Arc<TokenSource>,
    /// The span of the run. The actor's own task is not part of it.
    run: Span,
}

impl TokenActor {
    /// Starts without a token: the first caller causes a token request.
    pub fn new(source: TokenSource) -> Self {
        let state = TokenState::new(source.renewal);
        Self { state, source: Arc::new(source), run: Span::current() }
    }
}

impl TokenActor {
    /// Stores the result of a token request, and says what became of it.
    fn settle(&mut self, response: Result<TokenResponse, TokenError>) -> Result<Token, TokenError> {
        let error = response.as_ref().err().cloned();
        let lifetime = response.as_ref().ok().and_then(|response| response.lifetime);
        let lifetime = lifetime.map(tracing::field::debug);
        let answer = self.state.settle(Instant::now(), response);
        let _run = self.run.enter();
        match (&answer, error) {
            (Ok(Token { generation: 1, .. }), None) => tracing::info!(lifetime, "got a token"),
            (Ok(_), None) => tracing::info!(lifetime, "renewed the token"),
            (Ok(_), Some(error)) => {
                tracing::warn!(%error, "the token cannot be renewed; using it until it expires");
            }
            // a permanent one ends the run, whose last line it is
            (Err(error), _) if error.permanent => tracing::debug!(%error, "got no token"),
            (Err(error), _) => {
                let after = error.wait;
                tracing::warn!(%error, ?after, "got no token; requesting it again");
            }
        }
        answer
    }
}

impl Actor for TokenActor {
    type Context = Context<Self>;
}

impl Handler<GetToken> for TokenActor {
    type Result = AtomicResponse<Self, Result<Token, TokenError>>;

    fn handle(&mut self, message: GetToken, _: &mut Self::Context) -> Self::Result {
        if let Some(answer) = self.state.answer(Instant::now(), message.rejected) {
            return AtomicResponse::new(Box::pin(actix::fut::ready(answer)));
        }
        let source = Arc::clone(&self.source);
        // a `Send` future cannot hold a lock across an await
        let response: BoxFuture<'static, _> =
            Box::pin(async move { source.renew().await }.instrument(self.run.clone()));
        let settled = response.into_actor(self).map(|response, actor, _| actor.settle(response));
        AtomicResponse::new(Box::pin(settled))
    }
}

impl Handler<Drain> for TokenActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
