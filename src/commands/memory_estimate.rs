//! How much memory a run may take, from its configuration.

use crate::{
    config::Config,
    fetch::FetchSettings,
    sink::{PIECE_BYTES, ROW_GROUP_BYTES, SMALLEST_SPILL_BYTES},
    system::memory::{REPLIES, ROWS},
};

const MIB: u64 = 1 << 20;

/// What the program takes before it fetches anything, and what the allocator keeps.
const BASE_BYTES: u64 = 64 * MIB;

/// Copies of a reply while it is decoded: as it came, decompressed, and as columns.
const DECODED_COPIES: u64 = 4;

/// A large reply of the usual kind.
const USUAL_REPLY_BYTES: u64 = MIB;

/// The most bytes that a run takes if every reply has `reply_bytes` and as many threads decode.
/// `has_tables` says whether any dataset has files of tables.
fn most_bytes(settings: &FetchSettings, has_tables: bool, threads: u64, reply_bytes: u64) -> u64 {
    let (actors, ahead) = (settings.actors as u64, settings.ahead as u64);
    // a fetcher sends its first requests before it knows how large replies are
    let replies = (actors * ahead).saturating_mul(reply_bytes).max(REPLIES.bytes() as u64);
    let decoding = DECODED_COPIES.saturating_mul(reply_bytes);
    // the row groups of all tables together are no larger than that of the nested rows, which are
    // written beside them until the day is complete
    let encoders = if has_tables { 2 } else { 1 };
    let encoding = encoders * (ROW_GROUP_BYTES + PIECE_BYTES) as u64;
    let working = threads.saturating_mul(decoding.max(encoding));
    // in addition to the limit, each fetcher keeps rows that are too few to be moved to the disk
    let rows = (ROWS.bytes() + settings.actors * SMALLEST_SPILL_BYTES) as u64;
    BASE_BYTES.saturating_add(replies).saturating_add(working).saturating_add(rows)
}

/// The memory of a run as a sentence.
pub(super) fn sentence(config: &Config) -> String {
    let (settings, layout) = (&config.fetch, config.format.layout);
    let has_tables = config.datasets.iter().any(|dataset| !layout.tables(dataset).is_empty());
    let threads = crate::system::blocking::threads() as u64;
    let mib = |reply_bytes| most_bytes(settings, has_tables, threads, reply_bytes) / MIB;
    format!(
        "at most {} MiB with replies of 1 MiB, and {} MiB if all are as large as fetch.max_body \
         ({} MiB) allows; fewer fetch.actors take less",
        mib(USUAL_REPLY_BYTES.min(settings.max_body)),
        mib(settings.max_body),
        settings.max_body / MIB
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    /// The most bytes with this many fetchers, two threads and four requests ahead.
    fn most(actors: usize, reply_bytes: u64) -> u64 {
        most_with(false, actors, reply_bytes)
    }

    fn most_with(has_tables: bool, actors: usize, reply_bytes: u64) -> u64 {
        let set = [
            "source.region=sandbox",
            "job.from=2024-01-01T00:00:00Z",
            "job.to=2024-01-02T00:00:00Z",
        ];
        let overrides = Overrides { set: set.map(str::to_owned).to_vec(), ..Overrides::default() };
        let mut settings = Config::load(&overrides).unwrap().remove(0).fetch;
        (settings.actors, settings.ahead) = (actors, 4);
        most_bytes(&settings, has_tables, 2, reply_bytes)
    }

    /// The peaks of runs that fetched conversations of 6.3 KB, with two threads. The replies of 64
    /// fetchers never arrived at once, so those took less than half of what they may.
    #[test]
    fn what_was_measured_is_at_least_half_of_the_most_and_no_more_than_it() {
        for (has_tables, actors, measured) in
            [(false, 4, 178), (false, 8, 143), (true, 4, 251), (true, 8, 219)]
        {
            let most = most_with(has_tables, actors, MIB) / MIB;
            assert!((measured..=2 * measured).contains(&most), "{measured} of {most} MiB");
        }
    }

    #[test]
    fn each_fetcher_counts_with_its_replies_and_the_rows_that_stay_in_memory() {
        let a_fetcher = 4 * MIB + SMALLEST_SPILL_BYTES as u64;
        assert_eq!(most(65, MIB) - most(64, MIB), a_fetcher);
    }

    #[test]
    fn each_thread_counts_with_an_encoder_or_with_the_reply_that_it_decodes() {
        assert!(most(1, 1) >= 2 * (ROW_GROUP_BYTES + PIECE_BYTES) as u64);
        let an_encoder = (ROW_GROUP_BYTES + PIECE_BYTES) as u64;
        assert_eq!(most_with(true, 1, 1) - most(1, 1), 2 * an_encoder, "of tables too");
        let large = most(64, 64 * MIB) - most(64, 32 * MIB);
        assert_eq!(large, (64 * 4 + 2 * DECODED_COPIES) * 32 * MIB);
    }
}
