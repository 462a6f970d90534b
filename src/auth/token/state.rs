//! What is known about the token, and whether a new one is due.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    auth::{
        TokenResponse,
        token::{Generation, Token},
    },
    http::error::TokenError,
};

/// The pause after the first failed token request in a row; it doubles with every further one.
const FIRST_COOLDOWN: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(60);

/// When a token is renewed before it expires.
#[derive(Debug, Clone, Copy)]
pub struct RenewalPolicy {
    /// How long before its expiry.
    pub ahead: Duration,
    /// The part of its lifetime that must have passed, so that short-lived tokens are not renewed
    /// all the time. The later of the two instants counts.
    pub at: f64,
}

/// What is known about the token: a state machine that is independent of actors, network and clock.
pub(crate) struct TokenState {
    renewal: RenewalPolicy,
    generation: Generation,
    current: Option<CurrentToken>,
    /// The last failure. During its pause it is the answer to all callers, so that those who queued
    /// behind it do not send a request each.
    failure: Option<FailedRefresh>,
}

struct FailedRefresh {
    at: Instant,
    error: TokenError,
    /// Failures in a row.
    count: u32,
}

struct CurrentToken {
    token: Token,
    /// From this instant on a caller causes a token request. `None` if the lifetime is not known.
    renew: Option<Instant>,
    expires: Option<Instant>,
}

impl TokenState {
    pub(crate) fn new(renewal: RenewalPolicy) -> Self {
        Self { renewal, generation: 0, current: None, failure: None }
    }

    /// The answer that needs no token request. `None` if a token request is due.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        rejected: Option<Generation>,
    ) -> Option<Result<Token, TokenError>> {
        self.current.take_if(|current| {
            Some(current.token.generation) == rejected || passed(current.expires, now)
        });
        let failure = self.failure.as_ref().and_then(|FailedRefresh { at, error, .. }| {
            let wait = (*at + error.wait).saturating_duration_since(now);
            (error.permanent || wait > Duration::ZERO).then(|| TokenError { wait, ..error.clone() })
        });
        match (&self.current, failure) {
            (Some(current), None) if passed(current.renew, now) => None,
            (Some(current), _) => Some(Ok(current.token.clone())),
            (None, Some(error)) => Some(Err(error)),
            (None, None) => None,
        }
    }

    /// Stores the result of a token request, and returns the answer to the caller. If a renewal
    /// fails while the token is still valid, that token is returned again.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        response: Result<TokenResponse, TokenError>,
    ) -> Result<Token, TokenError> {
        match response {
            Ok(response) => {
                self.generation += 1;
                self.failure = None;
                let token =
                    Token { generation: self.generation, secret: response.secret, requested: now };
                let renew = response.lifetime.map(|lifetime| now + self.renewal.after(lifetime));
                let expires = response.lifetime.map(|lifetime| now + lifetime);
                self.current = Some(CurrentToken { token: token.clone(), renew, expires });
                Ok(token)
            }
            Err(error) => {
                let count = self.failure.as_ref().map_or(0, |failure| failure.count) + 1;
                let cooldown =
                    FIRST_COOLDOWN.saturating_mul(1 << (count - 1).min(16)).min(LONGEST_COOLDOWN);
                let error = TokenError { wait: error.wait.max(cooldown), ..error };
                self.failure = Some(FailedRefresh { at: now, error: error.clone(), count });
                match &mut self.current {
                    Some(current) if !passed(current.expires, now) => {
                        current.token.requested = now;
                        Ok(current.token.clone())
                    }
                    _ => Err(error),
                }
            }
        }
    }
}

impl RenewalPolicy {
    /// The age at which a token with this lifetime is renewed.
    pub(crate) fn after(self, lifetime: Duration) -> Duration {
        lifetime.saturating_sub(self.ahead).max(lifetime.mul_f64(self.at))
    }
}

fn passed(instant: Option<Instant>, now: Instant) -> bool {
    instant.is_some_and(|instant| instant <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RENEWAL: RenewalPolicy = RenewalPolicy { ahead: Duration::from_secs(60), at: 0.8 };

    fn response(lifetime: Option<Duration>) -> Result<TokenResponse, TokenError> {
        Ok(TokenResponse { secret: "t".into(), lifetime, refresh: None, id_token: None })
    }

    fn failed(permanent: bool) -> Result<TokenResponse, TokenError> {
        Err(TokenError {
            endpoint: String::new(),
            reason: "no".into(),
            permanent,
            no_connection: false,
            wait: Duration::ZERO,
            advice: "",
        })
    }

    fn state_with(lifetime: Option<Duration>) -> (TokenState, Instant) {
        let (mut state, now) = (TokenState::new(RENEWAL), Instant::now());
        assert!(state.answer(now, None).is_none());
        assert_eq!(state.settle(now, response(lifetime)).unwrap().generation, 1);
        (state, now)
    }

    fn generation(answer: Option<Result<Token, TokenError>>) -> Option<Generation> {
        answer.map(|token| token.unwrap().generation)
    }

    #[test]
    fn a_long_token_is_renewed_a_minute_ahead_and_a_short_one_at_four_fifths() {
        assert_eq!(RENEWAL.after(SECOND * 3_600), SECOND * 3_540);
        assert_eq!(RENEWAL.after(SECOND * 5), SECOND * 4);
        let (mut state, now) = state_with(Some(SECOND * 5));
        assert_eq!(generation(state.answer(now + SECOND * 3, None)), Some(1));
        assert_eq!(generation(state.answer(now + SECOND * 4, None)), None);
    }

    #[test]
    fn g7_a_rejected_generation_is_renewed_once() {
        let (mut state, now) = state_with(None);
        assert_eq!(generation(state.answer(now, Some(1))), None);
        state.settle(now, response(None)).unwrap();
        for _ in 0..64 {
            assert_eq!(
                generation(state.answer(now, Some(1))),
                Some(2),
                "the others get the new token"
            );
        }
    }

    #[test]
    fn a_failure_answers_all_callers_and_one_of_them_retries_after_a_pause() {
        let (mut state, now) = (TokenState::new(RENEWAL), Instant::now());
        assert!(state.settle(now, failed(false)).is_err());
        assert!(state.answer(now + SECOND / 2, None).unwrap().is_err());
        assert!(state.answer(now + SECOND, None).is_none());
        assert_eq!(state.settle(now + SECOND, failed(false)).unwrap_err().wait, SECOND * 2);
    }

    #[test]
    fn a_permanent_failure_is_final() {
        let (mut state, now) = (TokenState::new(RENEWAL), Instant::now());
        assert!(state.settle(now, failed(true)).is_err());
        assert!(state.answer(now + SECOND * 86_400, None).unwrap().unwrap_err().permanent);
    }

    #[test]
    fn a_failed_renewal_returns_the_token_that_is_still_valid() {
        let (mut state, now) = state_with(Some(SECOND * 5));
        assert!(state.answer(now + SECOND * 4, None).is_none());
        assert_eq!(state.settle(now + SECOND * 4, failed(false)).unwrap().generation, 1);
        assert_eq!(generation(state.answer(now + SECOND * 4, None)), Some(1));
        assert!(
            state.answer(now + SECOND * 5, None).is_none_or(|answer| answer.is_err()),
            "it has expired"
        );
    }
}
