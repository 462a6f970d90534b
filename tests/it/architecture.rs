//! The rules of the source's layout, as `src/lib.rs` states them, held against the source itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The top-level modules in the order in which they may import each other: downwards only.
const ORDER: [&str; 22] = [
    "cli",
    "web",
    "commands",
    "error",
    "exit_code",
    "config",
    "platform",
    "fetch",
    "sink",
    "tables",
    "planning",
    "auth",
    "decode",
    "privacy",
    "catalog",
    "ledger",
    "http",
    "telemetry",
    "sandbox",
    "time",
    "server_text",
    "system",
];

/// Folders that may name a vendor: those that hold what differs between platforms.
const VENDOR_FOLDERS: [&str; 4] = ["platform", "catalog", "config", "sandbox"];

/// A file has one concept, and so an end.
const MOST_LINES: usize = 400;

/// Every Rust file below `src`, with its path from there.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(files.len() > 50, "the source is found");
    files
}

/// The code of a file that is not a test's: its unit tests stand at its end, or in files of their
/// own.
fn production<'t>(path: &Path, text: &'t str) -> &'t str {
    let is_test =
        path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
    if is_test { "" } else { text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default() }
}

/// The top-level module of a file.
fn module(path: &Path) -> String {
    path.components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .trim_end_matches(".rs")
        .to_owned()
}

/// The top-level modules that code names as `crate::module`, alone or in a braced list.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code.split("crate::").skip(1) {
        let Some(list) = line.strip_prefix('{') else {
            found.push(line.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            continue;
        };
        let (mut depth, mut name) = (0, String::new());
        for character in list.chars() {
            match character {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push(std::mem::take(&mut name)),
                _ if depth == 0 => name.push(character),
                _ => {}
            }
        }
        found.push(name);
    }
    let first = |name: &String| name.trim().split("::").next().unwrap_or_default().to_owned();
    found.iter().map(first).filter(|name| !name.is_empty()).collect()
}

#[test]
fn imports_point_downwards_only() {
    let rank = |name: &str| ORDER.iter().position(|known| *known == name);
    let mut upwards = Vec::new();
    for (path, text) in sources() {
        let from = module(&path);
        let Some(own) = rank(&from) else {
            assert!(["lib", "main", "testing"].contains(&from.as_str()), "{from} has no place");
            continue;
        };
        for name in imports(production(&path, &text)) {
            if rank(&name).is_some_and(|other| other < own) {
                upwards.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(upwards.is_empty(), "imports that point upwards: {upwards:#?}");
}

#[test]
fn a_vendor_is_named_only_where_vendors_differ() {
    let mut named = Vec::new();
    for (path, text) in sources() {
        let code = production(&path, &text).to_lowercase();
        let vendor = ["genesys", "cxone", "inin-"].iter().find(|vendor| code.contains(**vendor));
        if let Some(vendor) = vendor.filter(|_| !VENDOR_FOLDERS.contains(&module(&path).as_str())) {
            named.push(format!("{}: {vendor}", path.display()));
        }
    }
    assert!(named.is_empty(), "files that name a vendor: {named:#?}");
}

#[test]
fn no_file_outgrows_its_concept() {
    let long = |(path, text): &(PathBuf, String)| {
        let lines = text.lines().count();
        (lines > MOST_LINES).then(|| format!("{}: {lines} lines", path.display()))
    };
    let long: Vec<_> = sources().iter().filter_map(long).collect();
    assert!(long.is_empty(), "files of more than {MOST_LINES} lines: {long:#?}");
}
