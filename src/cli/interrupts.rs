//! Interrupts: ctrl-c and SIGTERM.

use std::{io, time::Duration};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Interrupts within this time after the first are the same interrupt: `timeout(1)` and process
/// managers send a signal to the process and to its group.
const SAME_INTERRUPT: Duration = Duration::from_secs(1);

/// Receives the interrupts of the process. It misses none from its creation on.
pub(super) struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    pub(super) fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let interrupt = signal(SignalKind::interrupt())?;
            Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next interrupt.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }

    /// Cancels `shutdown` on the first interrupt. Returns when the process is to end at once: on a
    /// second interrupt, or `grace` after the first.
    pub(super) async fn shut_down(mut self, shutdown: &CancellationToken, grace: Duration) {
        self.next().await;
        let first = Instant::now();
        tracing::warn!("interrupted: committing what is complete; interrupt again to end at once");
        shutdown.cancel();
        loop {
            if timeout_at(first + grace, self.next()).await.is_err() {
                tracing::warn!(?grace, "the run has not ended within job.grace");
                return;
            }
            if first.elapsed() >= SAME_INTERRUPT {
                return;
            }
        }
    }
}
