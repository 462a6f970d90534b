//! A fuzz loop over replies: pages of the sandbox and of a dataset with every column type, changed
//! at random. No panic, no lost row, no changed value, and conservation on any input.
//!
//! It runs for `FUZZ_SECONDS`, from the seed `FUZZ_SEED`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cxbackfill::testing::{Interval, Region, Settings, catalog};
use fastrand::Rng;

use super::{
    Round,
    page_oracle::{EVERYTHING, PageOracle, Verdict},
};

/// A row of [`EVERYTHING`], without its id.
const ROW: &str = r#""at":"2024-03-18T10:00:00.000Z","count":7,"score":0.5,"open":true,
"name":"Zo\u00eb \ud83d\ude00","notes":{"a":"1","b":null},"tags":["x",null,"y"],
"grid":[[1,2],[],[3]],"one":{"at":"2024-03-18T10:00:00Z","count":1,"scores":[1.5,-2e3]},
"many":[{"name":"n","open":false},{},{"notes":{}}]"#;

/// Values that replace others.
const VALUES: [&[u8]; 46] = [
    b"null",
    b"true",
    b"0",
    b"1",
    b"-0",
    b"12.0",
    b"1e18",
    b"1e400",
    b"-1e-400",
    b"0.1e1",
    b"12345678901234567890",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9007199254740993",
    b"1700000000",
    b"1700000000000",
    b"1700000000000000",
    b"NaN",
    b"Infinity",
    b"-",
    b"01",
    b"+1",
    b"\"\"",
    b"\" \"",
    b"\"7\"",
    b"\"12.50\"",
    b"\"TRUE\"",
    b"\"2024-03-18\"",
    b"\"2024-03-18T10:00:00\"",
    b"\"20240318T100000Z\"",
    b"\"2024-03-18T10:00:00+05:30\"",
    b"\"\\ud842\\udfb7\"",
    b"\"\\ud842\"",
    b"\"\\u0000\"",
    b"\"\\x\"",
    b"\"\x01\"",
    b"\"\xff\"",
    b"\"\xed\xa0\x80\"",
    b"[]",
    b"{}",
    b"[[]]",
    b"{\"\":1}",
    b"{\"a\":{\"b\":[1,{}]}}",
    b"[1,\"x\"]",
    b"{\"a\":1,\"a\":2}",
    b"\xef\xbb\xbf1",
];

/// Pieces that come anywhere.
const PIECES: [&[u8]; 14] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\0",
    b"\n",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\"newField\":{\"deep\":[1]},",
    b"\"id\":\"again\",",
];

/// How long the loop runs.
fn duration() -> Duration {
    let given = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(given.unwrap_or(2))
}

fn first_seed() -> u64 {
    std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// The rows of an hour of the sandbox.
fn conversations() -> Vec<String> {
    let region = Region::new(Settings { conversations_per_day: 400, ..Settings::default() });
    let hour: Interval = "2024-03-18T10:00:00Z/2024-03-18T11:00:00Z".parse().unwrap();
    let truth: Vec<u8> =
        region.truth(hour.from_ms()..hour.to_ms()).flat_map(|piece| piece.to_vec()).collect();
    String::from_utf8(truth).unwrap().lines().map(str::to_owned).collect()
}

fn everything(number: usize) -> String {
    format!(r#"{{"id":"row {number}",{ROW}}}"#)
}

/// A reply with some of these rows.
fn page(list: &str, rows: &[String], rng: &mut Rng) -> Vec<u8> {
    let some: Vec<_> = (0..rng.usize(..5)).map(|_| rng.choice(rows).unwrap().as_str()).collect();
    format!(r#"{{"{list}":[{}],"count":{}}}"#, some.join(","), some.len()).into_bytes()
}

fn range(length: usize, longest: usize, rng: &mut Rng) -> std::ops::Range<usize> {
    let start = rng.usize(..=length);
    start..length.min(start + rng.usize(..=longest))
}

/// The value after a colon or a comma that is chosen at random, to the next end of one.
fn value_range(body: &[u8], rng: &mut Rng) -> std::ops::Range<usize> {
    let from = rng.usize(..=body.len());
    let start = body[from..].iter().position(|byte| b":,".contains(byte));
    let start = start.map_or(body.len(), |at| from + at + 1);
    let end = body[start..].iter().position(|byte| b",]}".contains(byte));
    start..end.map_or(body.len(), |at| start + at)
}

/// Changes a reply a few times.
fn mutate(body: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.usize(1..5) {
        let place = rng.usize(..=body.len());
        match rng.u8(..16) {
            0..=7 => {
                let value = VALUES[rng.usize(..VALUES.len())];
                body.splice(value_range(body, rng), value.iter().copied());
            }
            8 | 9 => {
                if let Some(byte) = body.get_mut(place) {
                    *byte = if rng.bool() { *byte ^ 1 << rng.u8(..8) } else { rng.u8(..) };
                }
            }
            10 => drop(body.drain(range(body.len(), 60, rng))),
            11 => {
                let copied = body[range(body.len(), 300, rng)].to_vec();
                body.splice(place..place, copied);
            }
            12 => body.truncate(place),
            13 => {
                let depth = rng.usize(1..400);
                let (open, close) = if rng.bool() { ("[", "]") } else { ("{\"a\":", "}") };
                let deep = format!("{}0{}", open.repeat(depth), close.repeat(depth));
                body.splice(value_range(body, rng), deep.bytes());
            }
            _ => {
                let piece = PIECES[rng.usize(..PIECES.len())];
                body.splice(place..place, piece.iter().copied());
            }
        }
    }
}

#[test]
fn a_row_with_half_of_a_character_anywhere_is_decoded_and_loses_nothing() {
    let own = &catalog::read("own.toml", EVERYTHING).unwrap().datasets["everything"];
    let oracle = PageOracle::new(Arc::clone(own), "rows");
    for (whole, half) in [
        (r#""count":7"#, r#""\ud83dcount":7"#),
        (r#"{"name":"n""#, r#"{"\ud83dname":"n""#),
        (r#""notes":{"a":"1""#, r#""notes":{"\udc00":"0","a":"1""#),
        (r#""notes":{"a":"1""#, r#""notes":{"\udc00":null,"a":"\ud83d""#),
        (r#""name":"Zo"#, r#""name":"\ud83d"#),
        (r#""scores":[1.5"#, r#""scores":["\ud83d""#),
        (r#""one":{"at":"2024-03-18T1"#, "\"one\":{\"at\":\"2024-03-1\u{feff}T1"),
    ] {
        let row = everything(1);
        assert!(row.contains(whole), "{whole}");
        let body = format!(r#"{{"rows":[{}],"count":1}}"#, row.replacen(whole, half, 1));
        let verdict = oracle.judge(body.as_bytes());
        assert_eq!(verdict, Ok(Verdict::Decoded { rows: 1, bad: 0 }), "{half}");
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // the loop runs for a real time
fn g5_no_row_of_any_reply_is_lost_and_no_value_is_changed() {
    let genesys = &catalog::builtin("genesys-cloud").unwrap().datasets["conversations"];
    let own = &catalog::read("own.toml", EVERYTHING).unwrap().datasets["everything"];
    let rows: Vec<_> = (0..8).map(everything).collect();
    let cases = [
        (PageOracle::new(Arc::clone(genesys), "conversations"), "conversations", conversations()),
        (PageOracle::new(Arc::clone(own), "rows"), "rows", rows),
    ];
    let end = Instant::now() + duration();
    let (mut seed, mut refused, mut decoded, mut quarantined) = (first_seed(), 0, 0, 0);
    while Instant::now() < end {
        let round = Round(seed);
        let mut rng = Rng::with_seed(seed);
        let (oracle, list, rows) = &cases[usize::from(rng.u8(..4) > 0)];
        let mut body = page(list, rows, &mut rng);
        if rng.u8(..20) > 0 {
            mutate(&mut body, &mut rng);
        }
        match oracle.judge(&body) {
            Ok(Verdict::Refused) => refused += 1,
            Ok(Verdict::Decoded { rows, bad }) => {
                decoded += rows;
                quarantined += bad;
            }
            Err(fault) => panic!("{fault}\nin {}", String::from_utf8_lossy(&body)),
        }
        drop(round);
        seed += 1;
    }
    println!("{seed} replies: {refused} refused, {decoded} rows, {quarantined} quarantined");
    assert!(refused > 0 && decoded > 0 && quarantined > 0, "{refused} {decoded} {quarantined}");
}
