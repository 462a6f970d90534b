//! Fuzz loops with fixed seeds: whatever a configuration or a catalogue holds is read, or refused
//! with its place, and never ends the process. `FUZZ_ROUNDS` sets the number of rounds of each
//! loop; a failure prints its seed. `pages` does the same with replies, for as long as
//! `FUZZ_SECONDS` says.

mod page_oracle;
mod pages;
mod row_oracle;
mod scalar_oracle;

use std::{fs, ops::Range, path::Path};

use cxbackfill::testing::{Config, Overrides, catalog};
use fastrand::Rng;
use tempfile::TempDir;

use crate::common::binary::SIMULATED;

/// Pieces that a mutation puts anywhere.
const PIECES: [&str; 32] = [
    "\n[",
    "]\n",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "\\",
    "\n",
    "\r",
    "\0",
    "\u{feff}",
    "9223372036854775808",
    "-1",
    "nan",
    "1e400",
    "true",
    "2024-01-01T00:00:00Z",
    "list<list<",
    ">>",
    "\"{from:%Q}\"",
    "\"{each}\"",
    "\"19998y\"",
    "\"1ns\"",
    "é",
    "💥",
];

/// Says which round failed.
struct Round(u64);

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the failing seed is {}", self.0);
        }
    }
}

fn rounds(most: u64) -> Range<u64> {
    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    0..rounds.unwrap_or(most)
}

fn own_file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A place in the text between two characters.
fn place(text: &str, rng: &mut Rng) -> usize {
    let mut at = rng.usize(..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn range(text: &str, longest: usize, rng: &mut Rng) -> Range<usize> {
    let start = place(text, rng);
    let mut end = text.len().min(start + rng.usize(..=longest));
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// The text after a few random changes.
fn mutated(text: &str, rng: &mut Rng) -> String {
    let mut text = text.to_owned();
    for _ in 0..rng.usize(1..6) {
        match rng.u8(..6) {
            0 => text.insert_str(place(&text, rng), PIECES[rng.usize(..PIECES.len())]),
            1 => text.replace_range(range(&text, 40, rng), ""),
            2 => {
                let piece = PIECES[rng.usize(..PIECES.len())];
                text.replace_range(range(&text, 12, rng), piece);
            }
            3 => {
                let copied = text[range(&text, 400, rng)].to_owned();
                text.insert_str(place(&text, rng), &copied);
            }
            4 => {
                let piece = PIECES[rng.usize(..PIECES.len())].repeat(rng.usize(1..300));
                text.insert_str(place(&text, rng), &piece);
            }
            _ => text.truncate(place(&text, rng)),
        }
    }
    text
}

/// Pieces of TOML in no order.
fn soup(rng: &mut Rng) -> String {
    let words =
        ["job", "fetch", "auth", "source", "dataset", "type", "query", "rows", "actors", "a"];
    let mut text = String::new();
    for _ in 0..rng.usize(1..120) {
        text += match rng.bool() {
            true => PIECES[rng.usize(..PIECES.len())],
            false => words[rng.usize(..words.len())],
        };
    }
    text
}

#[test]
fn whatever_a_configuration_holds_is_read_or_refused_with_its_place() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.toml");
    let documented = own_file("config.toml");
    let (mut read, mut refused) = (0, 0);
    for seed in rounds(400) {
        let round = Round(seed);
        let mut rng = Rng::with_seed(seed);
        let bytes = match seed % 4 {
            0 => soup(&mut rng).into_bytes(),
            1 => (0..rng.usize(..200)).map(|_| rng.u8(..)).collect(),
            _ => mutated(&documented, &mut rng).into_bytes(),
        };
        fs::write(&path, bytes).unwrap();
        let mut set: Vec<_> = SIMULATED.map(str::to_owned).to_vec();
        if rng.u8(..4) == 0 {
            set.push(mutated("fetch.actors=16", &mut rng));
        }
        let overrides = Overrides { path: Some(path.clone()), set, source: None };
        match Config::load(&overrides) {
            Ok(_) => read += 1,
            Err(error) => {
                let said = error.to_string();
                let has_place =
                    said.starts_with(&path.display().to_string()) || said.starts_with("--set");
                assert!(has_place && said.contains(": "), "{said}");
                refused += 1;
            }
        }
        drop(round);
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

#[test]
fn whatever_a_catalogue_holds_is_read_or_refused_with_its_place() {
    let texts = ["genesys.toml", "cxone.toml"].map(|name| own_file(&format!("src/catalog/{name}")));
    let (mut read, mut refused) = (0, 0);
    for seed in rounds(100) {
        let round = Round(seed);
        let mut rng = Rng::with_seed(seed);
        let text = match seed % 4 {
            0 => soup(&mut rng),
            other => mutated(&texts[other as usize % 2], &mut rng),
        };
        match catalog::read("own.toml", &text) {
            Ok(_) => read += 1,
            Err(error) => {
                let said = error.to_string();
                assert!(said.starts_with("own.toml: ") && said.len() > 20, "{said}");
                refused += 1;
            }
        }
        drop(round);
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}
