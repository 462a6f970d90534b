//! The memory that rows may take until they are in a file, of all shards of the process together
//! (G8).

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that the open row groups of one shard may take, however many rows they have.
pub(super) const SHARD_BYTES: usize = 64 << 20;

/// Bytes that the open row groups of the process may take before they are written out early.
pub(crate) const PROCESS_BYTES: usize = 128 << 20;

/// Row groups below this size stay open: smaller ones cost more than they save.
pub(crate) const SMALLEST_ROW_GROUP_BYTES: usize = 2 << 20;

static OPEN_BYTES: AtomicUsize = AtomicUsize::new(0);

/// What one shard adds to the open row groups of the process. Subtracted when it is dropped.
#[derive(Debug, Default)]
pub(super) struct OpenBytes(usize);

impl OpenBytes {
    /// Sets what the shard takes. Returns whether it, or all shards together, take too much.
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        OPEN_BYTES.fetch_add(bytes, Ordering::Relaxed);
        let others = OPEN_BYTES.fetch_sub(self.0, Ordering::Relaxed).saturating_sub(self.0 + bytes);
        self.0 = bytes;
        bytes > SHARD_BYTES || others + bytes > PROCESS_BYTES
    }
}

impl Drop for OpenBytes {
    fn drop(&mut self) {
        OPEN_BYTES.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shard_or_all_together_take_too_much_until_they_are_dropped() {
        let mut shards: Vec<OpenBytes> = (0..3).map(|_| OpenBytes::default()).collect();
        assert!(shards[0].set(SHARD_BYTES + 1));
        assert!(!shards[0].set(SHARD_BYTES - 1_000), "other tests take little");
        shards[1].set(SHARD_BYTES);
        assert!(shards[2].set(2_000));
        shards.truncate(1);
        assert!(!shards[0].set(SHARD_BYTES - 1_000));
    }
}
