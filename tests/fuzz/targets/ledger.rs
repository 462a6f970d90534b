//! The file of a ledger: it is read, or refused with a sentence.
#![no_main]

use std::{cell::OnceCell, fs};

use cxbackfill::testing::{LEDGER, Ledger, Snapshot};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.with(|folder| {
        folder.get_or_init(|| TempDir::new().expect("a folder")).path().join(LEDGER)
    });
    for suffix in ["-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(format!("{}{suffix}", path.display()));
    }
    fs::write(&path, bytes).expect("a file");
    let mut said: Vec<_> =
        Snapshot::read(&path).err().map(|error| error.to_string()).into_iter().collect();
    match Ledger::open(&path) {
        Ok(ledger) => said.extend(ledger.committed("d").err().map(|error| error.to_string())),
        Err(error) => said.push(error.to_string()),
    }
    for sentence in said {
        assert!(sentence.contains(' '), "{sentence}");
    }
});
