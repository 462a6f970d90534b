//! Interrupts: ctrl-c, SIGTERM, and SIGHUP, which the end of a terminal session sends.

use std::{io, time::Duration};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Interrupts within this time after the first are the same interrupt: `timeout(1)` and process
/// managers send a signal to the process and to its group.
const SAME_INTERRUPT: Duration = Duration::from_secs(1);

/// Receives the interrupts of the process. It misses none from its creation on.
pub(super) struct Interrupts {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
    /// `None` if the process was started to ignore it, as `nohup` does.
    #[cfg(unix)]
    hang_up: Option<Signal>,
}

impl Interrupts {
    pub(super) fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            let hang_up = match ignores_hang_up() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            };
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hang_up,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next interrupt.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        {
            let hang_up = async {
                match &mut self.hang_up {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = hang_up => {}
            }
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

/// Whether the process ignores SIGHUP, by the mask in which Linux lists ignored signals. On other
/// systems that is not known, and the answer is `false`.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // the lowest bit is that of signal 1, SIGHUP
    mask.is_some_and(|mask| mask & 1 == 1)
}
