//! What the program asks of the operating system: threads for work that blocks, memory, open files,
//! and facts about this process.
//!
//! It depends on no other folder, and what it limits belongs to the process rather than to one
//! source: so the memory limits and the worker threads are statics. Start with `blocking.rs`.

pub(crate) mod blocking;
pub(crate) mod descriptors;
pub(crate) mod files;
pub(crate) mod memory;
pub(crate) mod process;
