//! Runs work that blocks: decoding, Parquet, the ledger.

use std::{num::NonZero, sync::LazyLock, thread::available_parallelism};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
};

/// The work that runs at once: as much as there are cores. The blocking pool of the runtime has
/// hundreds of threads, and each keeps memory of its own in most allocators.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(threads()));

/// The most work that runs at once.
pub(crate) fn threads() -> usize {
    available_parallelism().map_or(2, NonZero::get).max(2)
}

/// Runs `work` on a thread of its own, on as many at once as there are cores, so that it delays no
/// other task. It must not wait for another process: see [`offload_wait`].
///
/// On a single-thread runtime it runs in place. That is a simulation, where the order of events
/// must not depend on a second thread.
///
/// # Panics
/// Resumes a panic of `work`, so that it ends the calling actor as if it ran in place.
pub(crate) async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if is_simulation() {
        return work();
    }
    // the semaphore is never closed, and work without a slot would still be right
    let _slot = SLOTS.acquire().await;
    offload_wait(work).await
}

/// [`offload`] for work that may wait for another process: it takes no slot, so that it delays no
/// other work.
pub(crate) async fn offload_wait<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if is_simulation() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn is_simulation() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}
