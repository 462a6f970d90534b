//! How much memory a run may take, from its configuration.

use crate::{
    fetch::FetchSettings,
    memory::{REPLIES, ROWS},
    sink::{PIECE_BYTES, ROW_GROUP_BYTES, SMALLEST_SPILL_BYTES},
};

const MIB: u64 = 1 << 20;

/// What the program takes before it fetches anything, and what the allocator keeps.
const BASE_BYTES: u64 = 64 * MIB;

/// Copies of a reply while it is decoded: as it came, decompressed, and as columns.
const DECODED_COPIES: u64 = 4;

/// A large reply of the usual kind.
const USUAL_REPLY_BYTES: u64 = MIB;

/// The most bytes that a run takes if every reply has `reply_bytes` and as many threads decode.
fn most_bytes(settings: &FetchSettings, threads: u64, reply_bytes: u64) -> u64 {
    let (actors, ahead) = (settings.actors as u64, settings.ahead as u64);
    // a fetcher sends its first requests before it knows how large replies are
    let replies = (actors * ahead).saturating_mul(reply_bytes).max(REPLIES.bytes() as u64);
    let decoding = DECODED_COPIES.saturating_mul(reply_bytes);
    let working = threads.saturating_mul(decoding.max((ROW_GROUP_BYTES + PIECE_BYTES) as u64));
    // beside what the limit allows, each fetcher keeps rows that are too few to move to the disk
    let rows = (ROWS.bytes() + settings.actors * SMALLEST_SPILL_BYTES) as u64;
    BASE_BYTES.saturating_add(replies).saturating_add(working).saturating_add(rows)
}

/// The memory of a run as a sentence.
pub(super) fn sentence(settings: &FetchSettings) -> String {
    let threads = crate::blocking::threads() as u64;
    let mib = |reply_bytes| most_bytes(settings, threads, reply_bytes) / MIB;
    format!(
        "at most {} MiB with replies of 1 MiB, and {} MiB if all are as large as fetch.max_body \
         ({} MiB) allows; fewer fetch.actors take less",
        mib(USUAL_REPLY_BYTES.min(settings.max_body)),
        mib(settings.max_body),
        settings.max_body / MIB
    )
}
