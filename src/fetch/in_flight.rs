//! Requests in flight, whose responses are taken in the order in which they were sent.

use std::{collections::VecDeque, future::Future, pin::pin};

use futures_util::{StreamExt, future::LocalBoxFuture, stream::FuturesOrdered};

/// Requests in flight, and responses that have arrived and are not taken yet.
pub(crate) struct InFlight<'a, T> {
    pending: FuturesOrdered<LocalBoxFuture<'a, T>>,
    arrived: VecDeque<T>,
}

impl<'a, T> InFlight<'a, T> {
    pub(crate) fn new() -> Self {
        Self { pending: FuturesOrdered::new(), arrived: VecDeque::new() }
    }

    /// The number of requests in flight and of responses not taken yet.
    pub(crate) fn len(&self) -> usize {
        self.pending.len() + self.arrived.len()
    }

    /// Adds a request.
    pub(crate) fn push(&mut self, request: impl Future<Output = T> + 'a) {
        self.pending.push_back(Box::pin(request));
    }

    /// The next response. `None` if there are no requests.
    pub(crate) async fn next(&mut self) -> Option<T> {
        match self.arrived.pop_front() {
            Some(response) => Some(response),
            None => self.pending.next().await,
        }
    }

    /// Awaits `work` and polls the requests meanwhile, since futures make no progress by
    /// themselves.
    pub(crate) async fn alongside<R>(&mut self, work: impl Future<Output = R>) -> R {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return output,
                Some(response) = self.pending.next(), if !self.pending.is_empty() => {
                    self.arrived.push_back(response);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, Instant, sleep};

    use super::*;

    async fn after(seconds: u64) -> u64 {
        sleep(Duration::from_secs(seconds)).await;
        seconds
    }

    #[tokio::test(start_paused = true)]
    async fn responses_arrive_during_other_work_and_keep_the_order_of_their_requests() {
        let (mut in_flight, start) = (InFlight::new(), Instant::now());
        for seconds in [3, 1, 2] {
            in_flight.push(after(seconds));
        }
        assert_eq!(in_flight.alongside(after(5)).await, 5);
        assert_eq!(in_flight.len(), 3);
        assert_eq!(
            [in_flight.next().await, in_flight.next().await, in_flight.next().await],
            [Some(3), Some(1), Some(2)]
        );
        assert_eq!((in_flight.next().await, start.elapsed()), (None, Duration::from_secs(5)));
    }
}
