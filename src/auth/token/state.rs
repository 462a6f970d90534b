//! What is known about the token, and what follows from it.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    auth::{
        TokenResponse,
        token::{Generation, Token},
    },
    http::error::TokenError,
};

/// How long the endpoint is left alone after its first failure in a row; it doubles.
const FIRST_COOLDOWN: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(60);

/// When a token is renewed before it expires.
#[derive(Debug, Clone, Copy)]
pub struct RenewalPolicy {
    /// So long before its end …
    pub ahead: Duration,
    /// … or at this share of its lifetime, whichever is later: a token of five seconds is not
    /// renewed all the time.
    pub at: f64,
}

/// What is known about the token: a state machine without an actor, a network or a clock.
pub(crate) struct TokenState {
    renewal: RenewalPolicy,
    generation: Generation,
    current: Option<CurrentToken>,
    /// The last failure, and how many there were in a row: for `wait` it is the answer to all who
    /// ask, so that those who queued behind it do not each try again.
    failure: Option<(Instant, TokenError, u32)>,
}

struct CurrentToken {
    token: Token,
    /// From here on a newer one is fetched before the token is handed out again.
    renew: Option<Instant>,
    expires: Option<Instant>,
}

impl TokenState {
    pub(crate) fn new(renewal: RenewalPolicy) -> Self {
        Self { renewal, generation: 0, current: None, failure: None }
    }

    /// The answer that needs no request; none: one is due.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        rejected: Option<Generation>,
    ) -> Option<Result<Token, TokenError>> {
        self.current.take_if(|current| {
            Some(current.token.generation) == rejected || passed(current.expires, now)
        });
        let resting = self.failure.as_ref().and_then(|(at, fault, _)| {
            let left = (*at + fault.wait).saturating_duration_since(now);
            (fault.permanent || left > Duration::ZERO)
                .then(|| TokenError { wait: left, ..fault.clone() })
        });
        match (&self.current, resting) {
            (Some(current), None) if passed(current.renew, now) => None,
            (Some(current), _) => Some(Ok(current.token.clone())),
            (None, Some(fault)) => Some(Err(fault)),
            (None, None) => None,
        }
    }

    /// Takes in what a token request gave. A failed renewal of a token that still lives costs
    /// nothing: the token is handed out once more.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        response: Result<TokenResponse, TokenError>,
    ) -> Result<Token, TokenError> {
        match response {
            Ok(response) => {
                self.generation += 1;
                self.failure = None;
                let token = Token { generation: self.generation, secret: response.secret };
                let renew = response.lifetime.map(|lifetime| now + self.renewal.after(lifetime));
                let expires = response.lifetime.map(|lifetime| now + lifetime);
                self.current = Some(CurrentToken { token: token.clone(), renew, expires });
                Ok(token)
            }
            Err(fault) => {
                let failures = self.failure.as_ref().map_or(0, |(_, _, failures)| *failures) + 1;
                let cooldown = FIRST_COOLDOWN
                    .saturating_mul(1 << (failures - 1).min(16))
                    .min(LONGEST_COOLDOWN);
                let fault = TokenError { wait: fault.wait.max(cooldown), ..fault };
                self.failure = Some((now, fault.clone(), failures));
                match &self.current {
                    Some(current) if !passed(current.expires, now) => Ok(current.token.clone()),
                    _ => Err(fault),
                }
            }
        }
    }
}

impl RenewalPolicy {
    /// The age at which a token of this lifetime is renewed.
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
            wait: Duration::ZERO,
            advice: "",
        })
    }

    fn desk_with(lifetime: Option<Duration>) -> (TokenState, Instant) {
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
        let (mut state, now) = desk_with(Some(SECOND * 5));
        assert_eq!(generation(state.answer(now + SECOND * 3, None)), Some(1));
        assert_eq!(generation(state.answer(now + SECOND * 4, None)), None);
    }

    #[test]
    fn g7_a_rejected_generation_is_renewed_once() {
        let (mut state, now) = desk_with(None);
        assert_eq!(generation(state.answer(now, Some(1))), None);
        state.settle(now, response(None)).unwrap();
        for _ in 0..64 {
            assert_eq!(
                generation(state.answer(now, Some(1))),
                Some(2),
                "the others get the token that came"
            );
        }
    }

    #[test]
    fn a_failure_answers_all_who_wait_and_is_tried_again_by_one_after_a_pause() {
        let (mut state, now) = (TokenState::new(RENEWAL), Instant::now());
        assert!(state.settle(now, failed(false)).is_err());
        assert!(state.answer(now + SECOND / 2, None).unwrap().is_err());
        assert!(state.answer(now + SECOND, None).is_none());
        assert_eq!(state.settle(now + SECOND, failed(false)).unwrap_err().wait, SECOND * 2);
    }

    #[test]
    fn a_permanent_failure_is_latched() {
        let (mut state, now) = (TokenState::new(RENEWAL), Instant::now());
        assert!(state.settle(now, failed(true)).is_err());
        assert!(state.answer(now + SECOND * 86_400, None).unwrap().unwrap_err().permanent);
    }

    #[test]
    fn a_failed_renewal_hands_out_the_token_that_still_lives() {
        let (mut state, now) = desk_with(Some(SECOND * 5));
        assert!(state.answer(now + SECOND * 4, None).is_none());
        assert_eq!(state.settle(now + SECOND * 4, failed(false)).unwrap().generation, 1);
        assert_eq!(generation(state.answer(now + SECOND * 4, None)), Some(1));
        assert!(
            state.answer(now + SECOND * 5, None).is_none_or(|answer| answer.is_err()),
            "it has expired"
        );
    }
}
