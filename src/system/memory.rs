//! Limits what the replies and the rows of the whole process take in memory (G8).
//!
//! Memory belongs to the process, so the limits do, too: they are shared by all fetchers of all
//! sources. Exceeding one is not an error: requests ahead wait, and waiting rows move to the disk.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Replies that are on their way or not decoded yet. Each fetcher has at least one, whatever the
/// limit.
pub(crate) static REPLIES: MemoryLimit = MemoryLimit::new(16 << 20);

/// Rows in memory that are not encoded yet.
pub(crate) static ROWS: MemoryLimit = MemoryLimit::new(32 << 20);

/// A limit on the bytes of one kind of content.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    bytes: usize,
    held: AtomicUsize,
}

impl MemoryLimit {
    const fn new(bytes: usize) -> Self {
        Self { bytes, held: AtomicUsize::new(0) }
    }

    /// The limit in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether more is held than the limit allows.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.held.load(Ordering::Relaxed) > self.bytes
    }

    /// Counts bytes until the value is dropped.
    pub(crate) fn hold(&'static self, bytes: usize) -> HeldMemory {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        HeldMemory { limit: self, bytes }
    }
}

/// Bytes that count against a limit until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldMemory {
    limit: &'static MemoryLimit,
    bytes: usize,
}

impl HeldMemory {
    /// Counts other bytes from now on.
    pub(crate) fn set(&mut self, bytes: usize) {
        *self = self.limit.hold(bytes);
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.limit.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_they_are_dropped_or_set_anew() {
        static LIMIT: MemoryLimit = MemoryLimit::new(100);
        let mut one = LIMIT.hold(60);
        let other = LIMIT.hold(41);
        assert!(LIMIT.is_exceeded());
        one.set(59);
        assert!(!LIMIT.is_exceeded(), "the limit itself is allowed");
        one.set(70);
        assert!(LIMIT.is_exceeded());
        drop(other);
        assert!(!LIMIT.is_exceeded());
        drop(one);
        assert_eq!(LIMIT.held.load(Ordering::Relaxed), 0);
    }
}
