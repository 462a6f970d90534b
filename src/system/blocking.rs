//! Runs work that blocks: decoding, Parquet, the ledger.

use std::{
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{LazyLock, Mutex, PoisonError, mpsc},
    thread::{self, available_parallelism},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
};

/// More threads than this take more memory than their speed is worth.
const MOST_THREADS: usize = 8;

type Work = Box<dyn FnOnce() + Send>;

/// The queue of the threads that work. The blocking pool of the runtime would run the work on ever
/// other threads, and each thread keeps memory of its own in most allocators.
static QUEUE: LazyLock<mpsc::Sender<Work>> = LazyLock::new(|| {
    let (queue, receiver) = mpsc::channel::<Work>();
    let receiver: &'static _ = Box::leak(Box::new(Mutex::new(receiver)));
    for number in 0..threads() {
        let started = thread::Builder::new().name(format!("work-{number}")).spawn(move || {
            while let Some(work) = next(receiver) {
                work()
            }
        });
        started.expect("the operating system refuses to start threads");
    }
    queue
});

/// Waits for work. `None` if there will be none.
fn next(receiver: &Mutex<mpsc::Receiver<Work>>) -> Option<Work> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// The most work that runs at once: as much as there are cores, from 2 to 8.
pub(crate) fn threads() -> usize {
    available_parallelism().map_or(2, NonZero::get).clamp(2, MOST_THREADS)
}

/// Runs `work` on one of [`threads`] threads, so that it delays no other task. It must not wait for
/// another process: see [`offload_wait`].
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
    let (reply, result) = oneshot::channel();
    let work = Box::new(move || {
        // if nobody waits any more, the result is dropped
        let _ = reply.send(catch_unwind(AssertUnwindSafe(work)));
    });
    QUEUE.send(work).expect("the threads that work never end");
    match result.await.expect("every work is answered") {
        Ok(value) => value,
        Err(panic) => resume_unwind(panic),
    }
}

/// [`offload`] for work that may wait for another process: it takes a thread of the runtime, so
/// that it delays no other work.
pub(crate) async fn offload_wait<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if is_simulation() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

fn is_simulation() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn work_runs_on_no_more_threads_than_there_are_cores() {
        let mut running = Vec::new();
        for _ in 0..200 {
            running.push(tokio::spawn(offload(|| thread::current().id())));
        }
        let mut used = Vec::new();
        for work in running {
            used.push(format!("{:?}", work.await.unwrap()));
        }
        assert!(used.into_iter().collect::<BTreeSet<_>>().len() <= threads());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_of_work_reaches_its_caller_and_ends_no_thread() {
        for _ in 0..3 * MOST_THREADS {
            let failed = tokio::spawn(offload(|| panic!("the work failed"))).await;
            assert!(failed.unwrap_err().is_panic());
        }
        assert_eq!(offload(|| 1).await, 1);
    }
}
