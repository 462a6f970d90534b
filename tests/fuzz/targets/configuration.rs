//! A configuration file: it is read, or refused with its place.
#![no_main]

use std::{cell::OnceCell, fs};

use cxbackfill::testing::{Config, Overrides, catalog};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.with(|folder| {
        folder.get_or_init(|| TempDir::new().expect("a folder")).path().join("config.toml")
    });
    fs::write(&path, bytes).expect("a file");
    let set =
        ["source.region=sandbox", "job.from=2024-01-01T00:00:00Z", "job.to=2024-01-11T00:00:00Z"];
    let set = set.map(str::to_owned).to_vec();
    let overrides = Overrides { path: Some(path.clone()), set, source: None };
    if let Err(error) = Config::load(&overrides) {
        let said = error.to_string();
        let place = path.display().to_string();
        assert!(said.starts_with(&place) || said.starts_with("--set"), "{said}");
    }
    if let Ok(text) = str::from_utf8(bytes)
        && let Err(error) = catalog::read("own.toml", text)
    {
        assert!(error.to_string().starts_with("own.toml: "), "{error}");
    }
});
