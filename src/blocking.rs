//! Runs work that blocks: decoding, Parquet, the ledger.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work` on the blocking pool of a multi-thread runtime, so that it delays no other task.
///
/// On a single-thread runtime it runs in place. That is a simulation, where the order of events
/// must not depend on a second thread.
///
/// # Panics
/// Resumes a panic of `work`, so that it ends the calling actor as if it ran in place.
pub(crate) async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
