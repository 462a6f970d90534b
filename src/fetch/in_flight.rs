//! Requests under way whose replies are taken in the order in which they were sent.

use std::{collections::VecDeque, future::Future, pin::pin};

use futures_util::{StreamExt, future::LocalBoxFuture, stream::FuturesOrdered};

/// What is under way, and what has come and is not taken yet.
pub(crate) struct InFlight<'a, T> {
    pending: FuturesOrdered<LocalBoxFuture<'a, T>>,
    arrived: VecDeque<T>,
}

impl<'a, T> InFlight<'a, T> {
    /// Nothing is under way.
    pub(crate) fn new() -> Self {
        Self { pending: FuturesOrdered::new(), arrived: VecDeque::new() }
    }

    /// How many are under way or wait to be taken.
    pub(crate) fn len(&self) -> usize {
        self.pending.len() + self.arrived.len()
    }

    /// Sends another.
    pub(crate) fn push(&mut self, request: impl Future<Output = T> + 'a) {
        self.pending.push_back(Box::pin(request));
    }

    /// The next reply; none: nothing is under way.
    pub(crate) async fn next(&mut self) -> Option<T> {
        match self.arrived.pop_front() {
            Some(reply) => Some(reply),
            None => self.pending.next().await,
        }
    }

    /// Does `work` while requests are under way: a future that nobody polls gets nowhere.
    pub(crate) async fn alongside<R>(&mut self, work: impl Future<Output = R>) -> R {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(reply) = self.pending.next(), if !self.pending.is_empty() => self.arrived.push_back(reply),
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
    async fn replies_are_taken_in_the_order_of_their_requests_and_come_while_other_work_is_done() {
        let (mut in_flight, start) = (InFlight::new(), Instant::now());
        [3, 1, 2].into_iter().for_each(|seconds| in_flight.push(after(seconds)));
        assert_eq!(in_flight.alongside(after(5)).await, 5);
        assert_eq!(in_flight.len(), 3);
        assert_eq!(
            [in_flight.next().await, in_flight.next().await, in_flight.next().await],
            [Some(3), Some(1), Some(2)]
        );
        assert_eq!((in_flight.next().await, start.elapsed()), (None, Duration::from_secs(5)));
    }
}
