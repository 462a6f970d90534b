//! Work that would block: decoding, Parquet, the ledger.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work` where it holds nobody up: on the blocking pool of a multi-thread runtime. A
/// single-thread runtime is a simulation, where the order of events must not depend on a second
/// thread, so there it runs in place.
///
/// # Panics
/// Resumes a panic of `work`, so that it ends the actor that asked, as it would in place.
pub(crate) async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
