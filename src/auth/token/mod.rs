//! TokenActor: one token for everybody (G7).
//!
//! While a token is being asked for, the actor's mailbox is closed: whoever asks meanwhile waits
//! in it, and is answered with the token that came. So there is at most one token request in
//! flight, and at most one for a rejected generation, however many actors were rejected with it.
//!
//! [`TokenSource`] is how one is asked for, the desk what is known about the one that came, [`cache`]
//! where it outlives the process.

pub(crate) mod cache;
pub(crate) mod source;
pub(crate) mod state;

use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio::time::Instant;

pub use self::source::{TokenClient, TokenSource};
use self::state::TokenState;
pub(crate) use self::{source::AuthSettings, state::RenewalPolicy};
use crate::http::error::TokenError;

/// Counts the tokens of a run: a 401 names the generation that it rejects.
pub(crate) type Generation = u64;

/// A token that was good when it was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// Which token of the run it is.
    pub generation: Generation,
    /// The token itself.
    pub secret: SecretString,
}

/// Asks for a token.
#[derive(Message)]
#[rtype(result = "Result<Token, TokenError>")]
pub(crate) struct GetToken {
    /// The generation that the server has just answered with a 401, if that is why.
    pub rejected: Option<Generation>,
}

/// Is answered when no token request is under way. A run waits for it before it ends: a refresh
/// token that was replaced is in the cache by then.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain;

/// The shell around the desk: the waiting room and the telephone.
pub(crate) struct TokenActor {
    state: TokenState,
    login: Arc<TokenSource>,
}

impl TokenActor {
    /// Starts with no token: the first who asks has one fetched.
    pub(crate) fn new(login: TokenSource) -> Self {
        Self { state: TokenState::new(login.renewal), login: Arc::new(login) }
    }
}

impl Actor for TokenActor {
    type Context = Context<Self>;
}

impl Handler<GetToken> for TokenActor {
    type Result = AtomicResponse<Self, Result<Token, TokenError>>;

    fn handle(&mut self, ask: GetToken, _: &mut Self::Context) -> Self::Result {
        if let Some(answer) = self.state.answer(Instant::now(), ask.rejected) {
            return AtomicResponse::new(Box::pin(actix::fut::ready(answer)));
        }
        let login = Arc::clone(&self.login);
        // `Send`, so that the compiler sees that no lock is held while it waits
        let response: BoxFuture<'static, _> = Box::pin(async move { login.renew().await });
        let settled = response.into_actor(self);
        AtomicResponse::new(Box::pin(
            settled.map(|response, actor, _| actor.state.settle(Instant::now(), response)),
        ))
    }
}

impl Handler<Drain> for TokenActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}

#[cfg(test)]
mod tests;
