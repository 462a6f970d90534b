//! Pauses of single endpoints: an endpoint that throttles while the quota has room costs the others
//! nothing.

use std::time::Duration;

use dashmap::DashMap;
use tokio::time::{Instant, sleep_until};

/// When each paused endpoint may be requested again.
#[derive(Debug, Default)]
pub(crate) struct EndpointPauses(DashMap<String, Instant>);

impl EndpointPauses {
    /// Admits no request of `endpoint` until `after` from now. A second call can only extend the
    /// pause. Returns whether it did.
    pub(crate) fn pause(&self, endpoint: &str, after: Duration) -> bool {
        let now = Instant::now();
        self.0.retain(|_, until| *until > now);
        let mut until = self.0.entry(endpoint.to_owned()).or_insert(now);
        let is_longer = now + after > *until;
        *until = (now + after).max(*until);
        is_longer
    }

    /// Whether the endpoint may not be requested at present.
    pub(crate) fn is_paused(&self, endpoint: &str) -> bool {
        self.end(endpoint).is_some()
    }

    /// Waits until the endpoint may be requested.
    pub(crate) async fn wait(&self, endpoint: &str) {
        while let Some(until) = self.end(endpoint) {
            sleep_until(until).await;
        }
    }

    fn end(&self, endpoint: &str) -> Option<Instant> {
        let until = *self.0.get(endpoint)?;
        (until > Instant::now()).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_one_endpoint_and_can_only_be_extended() {
        let (pauses, start) = (EndpointPauses::default(), Instant::now());
        assert!(pauses.pause("GET /a", Duration::from_secs(7)));
        assert!(!pauses.pause("GET /a", Duration::from_secs(2)));
        pauses.wait("GET /b").await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(pauses.is_paused("GET /a"));
        pauses.wait("GET /a").await;
        assert_eq!(start.elapsed(), Duration::from_secs(7));
        assert!(pauses.pause("GET /b", Duration::from_secs(1)));
        assert_eq!(pauses.0.len(), 1, "pauses that are over are forgotten");
    }
}
