//! Outages: the network or the whole platform does not answer, and not only one dataset.
//!
//! Failures of all fetchers are counted together. After several in a row that an outage would
//! explain, one fetcher probes the platform: it asks something cheap that no dataset has to do
//! with. If that fails alike, there is an outage. If the platform has answered before in this run,
//! all fetchers wait while one of them probes on, and nobody's attempts are used up. Else the usual
//! attempts decide, since the address may be wrong.

use std::{
    cell::Cell,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    catalog::ApiRequest,
    fetch::{ApiClient, RunError, error::AttemptError},
    http::{
        error::RequestError,
        retry::{self, PlatformState, RetryPolicy, Stop},
    },
    telemetry::metrics::Wait,
};

/// Failures in a row after which the platform is probed first.
const FIRST_SUSPICION: u32 = 3;

/// Notices outages. Shared by all fetchers.
#[derive(Debug)]
pub(crate) struct OutageMonitor {
    /// The request that tells whether the platform answers.
    probe: ApiRequest,
    state: Mutex<OutageState>,
    /// Held by the fetcher that probes.
    turn: tokio::sync::Mutex<()>,
}

/// What is known about the platform: a state machine that is independent of network and clock.
#[derive(Debug)]
struct OutageState {
    /// Failures in a row, of any request, that an outage would explain.
    failures: u32,
    /// The number of such failures at which the platform is probed. Each probe that is answered
    /// doubles it, so that a dataset that keeps failing does not cost many probes.
    suspicious_at: u32,
    /// The limits of `suspicious_at`.
    first_suspicion: u32,
    last_suspicion: u32,
    /// Whether the platform has answered in this run.
    has_answered: bool,
    /// The outage. `None` if there is none.
    outage: Option<Outage>,
}

#[derive(Debug, Clone)]
struct Outage {
    since: Instant,
    /// How the last probe failed.
    error: RequestError,
}

impl OutageMonitor {
    /// Probes with a request for `path`.
    pub(crate) fn new(path: &str, policy: &RetryPolicy) -> Self {
        let probe = ApiRequest { target: path.to_owned(), ..ApiRequest::default() };
        Self { probe, state: Mutex::new(OutageState::new(policy.attempts)), turn: <_>::default() }
    }

    fn state(&self) -> MutexGuard<'_, OutageState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a request other than a probe was answered.
    pub(crate) fn record_answer(&self) {
        if let Some(outage) = self.state().record_answer() {
            tell_end(&outage);
        }
    }

    fn outage(&self) -> Option<Outage> {
        self.state().outage.clone()
    }
}

impl OutageState {
    /// `attempts` of a request are made before it fails: one outage must not fail it unnoticed.
    fn new(attempts: u32) -> Self {
        let first_suspicion = FIRST_SUSPICION.min(attempts);
        Self {
            failures: 0,
            suspicious_at: first_suspicion,
            first_suspicion,
            last_suspicion: attempts,
            has_answered: false,
            outage: None,
        }
    }

    /// Records an answer. Returns the outage that it ends.
    fn record_answer(&mut self) -> Option<Outage> {
        let Self { first_suspicion, last_suspicion, .. } = *self;
        let (failures, suspicious_at) = (0, first_suspicion);
        let ended = self.outage.take().filter(|_| self.has_answered);
        *self = Self {
            failures,
            suspicious_at,
            first_suspicion,
            last_suspicion,
            has_answered: true,
            outage: None,
        };
        ended
    }

    /// Records a failure that an outage would explain. Returns whether the platform is to be
    /// probed.
    fn record_failure(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.is_suspicious()
    }

    /// Whether failures call for a probe. During an outage it is the waiting fetchers that probe.
    fn is_suspicious(&self) -> bool {
        self.platform() != PlatformState::Silent && self.failures >= self.suspicious_at
    }

    /// Records that a probe was answered. Returns the outage that it ends.
    fn record_probe_answer(&mut self) -> Option<Outage> {
        let next = self.suspicious_at.saturating_mul(2).min(self.last_suspicion);
        let ended = self.record_answer();
        self.suspicious_at = if ended.is_some() { self.first_suspicion } else { next };
        ended
    }

    /// Records that a probe failed, too. Returns whether this begins an outage after answers.
    fn record_probe_failure(&mut self, now: Instant, error: RequestError) -> bool {
        self.failures = 0;
        let since = self.outage.as_ref().map_or(now, |outage| outage.since);
        let begins = self.outage.replace(Outage { since, error }).is_none();
        begins && self.has_answered
    }

    fn platform(&self) -> PlatformState {
        match (&self.outage, self.has_answered) {
            (None, _) => PlatformState::Answers,
            (Some(_), true) => PlatformState::Silent,
            (Some(_), false) => PlatformState::NeverAnswered,
        }
    }
}

impl ApiClient {
    /// Records the error of an attempt, and finds out whether the platform answers at all. An
    /// anonymous request goes to another host, so that an answer to it proves nothing.
    pub(super) async fn platform_after(
        &self,
        error: &RequestError,
        anonymous: bool,
    ) -> Result<PlatformState, RunError> {
        let monitor = &self.context.outages;
        if error.is_answer() && !anonymous {
            monitor.record_answer();
        }
        if error.may_be_outage() && monitor.state().record_failure() {
            let _turn = self.unless_interrupted(monitor.turn.lock()).await?;
            // another fetcher may have probed meanwhile
            if monitor.state().is_suspicious() {
                self.probe().await?;
            }
        }
        Ok(monitor.state().platform())
    }

    /// Waits while there is an outage. One caller probes, the others wait for it.
    ///
    /// # Errors
    /// If the outage lasts longer than `retry.outage`, or the run is to end.
    pub(super) async fn await_platform(&self) -> Result<(), RunError> {
        let monitor = &self.context.outages;
        if monitor.state().platform() != PlatformState::Silent {
            return Ok(());
        }
        let _turn = self.unless_interrupted(monitor.turn.lock()).await?;
        let policy = &self.context.policy;
        let mut number = 0;
        while let Some(Outage { since, error }) = monitor.outage() {
            let left = policy.outage.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(RunError::Stopped { stop: Stop::Outage, error });
            }
            number += 1;
            let jitter = 0.5 + self.jitter.borrow_mut().f64() / 2.0;
            let _wait = self.context.metrics.wait(None, Wait::Outage { attempt: number });
            self.pause(retry::pause(number, policy, jitter).min(left)).await?;
            if monitor.outage().is_some() {
                self.probe().await?;
            }
        }
        Ok(())
    }

    /// Asks the platform once whether it answers.
    async fn probe(&self) -> Result<(), RunError> {
        let monitor = &self.context.outages;
        let sent = Cell::new(false);
        let mut rejected = None;
        let attempt = self.attempt(&monitor.probe, &mut rejected, |_| Ok(()), &sent);
        let error = match self.unless_interrupted(attempt).await? {
            Ok(()) => None,
            Err(AttemptError::Run(error)) => return Err(error),
            Err(AttemptError::Request(error)) => Some(error).filter(RequestError::may_be_outage),
        };
        let Some(error) = error else {
            if let Some(outage) = monitor.state().record_probe_answer() {
                tell_end(&outage);
            }
            return Ok(());
        };
        if monitor.state().record_probe_failure(Instant::now(), error.clone()) {
            let longest = self.context.policy.outage;
            tracing::warn!(%error, ?longest, "outage: no request is answered; waiting for its end");
        }
        Ok(())
    }
}

fn tell_end(outage: &Outage) {
    let lasted = Duration::from_secs(outage.since.elapsed().as_secs());
    tracing::warn!(?lasted, "the outage has ended");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn error() -> RequestError {
        RequestError::Network("refused".into())
    }

    /// The numbers of those of `failures` failures after which the platform is probed, if every
    /// probe is answered.
    fn probes(state: &mut OutageState, failures: u32) -> Vec<u32> {
        let mut probes = Vec::new();
        for number in 1..=failures {
            if state.record_failure() {
                probes.push(number);
                assert!(state.record_probe_answer().is_none());
            }
        }
        probes
    }

    #[test]
    fn a_dataset_that_keeps_failing_costs_few_probes_and_no_outage() {
        let mut state = OutageState::new(8);
        assert_eq!(probes(&mut state, 40), [3, 9, 17, 25, 33]);
        assert_eq!(state.platform(), PlatformState::Answers);
        state.record_answer();
        assert_eq!(probes(&mut state, 4), [3], "an answer makes it attentive again");
        assert_eq!(probes(&mut OutageState::new(1), 3), [1, 2, 3]);
    }

    #[test]
    fn an_outage_begins_with_a_failed_probe_and_ends_with_an_answer() {
        let (mut state, now) = (OutageState::new(8), Instant::now());
        state.record_answer();
        assert!(!state.record_failure() && !state.record_failure() && state.record_failure());
        assert!(state.record_probe_failure(now, error()), "it begins");
        assert!(!state.record_probe_failure(now + SECOND, error()), "it goes on");
        assert_eq!(state.platform(), PlatformState::Silent);
        assert!((0..9).all(|_| !state.record_failure()), "the waiting fetchers probe");
        assert_eq!(state.record_probe_answer().unwrap().since, now);
        assert_eq!(state.platform(), PlatformState::Answers);
        assert!(state.record_answer().is_none());
    }

    #[test]
    fn a_platform_that_never_answered_has_no_outage() {
        let (mut state, now) = (OutageState::new(8), Instant::now());
        assert!((0..3).map(|_| state.record_failure()).eq([false, false, true]));
        assert!(!state.record_probe_failure(now, error()));
        assert_eq!(state.platform(), PlatformState::NeverAnswered);
        assert!((0..3).map(|_| state.record_failure()).eq([false, false, true]), "probed again");
        assert!(state.record_probe_answer().is_none());
        assert_eq!(state.platform(), PlatformState::Answers);
    }
}
