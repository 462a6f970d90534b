//! The tokens of a row against `serde_json`.

use proptest::prelude::*;
use serde_json::{Value, value::RawValue};

use crate::decode::json::*;

#[test]
fn a_value_is_skipped_exactly_if_serde_json_reads_it() {
    let mut rng = fastrand::Rng::with_seed(1);
    let parts = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\\x\"",
        "0",
        "01",
        "-1.5e+3",
        "-",
        "1.",
        "1e",
        "true",
        "null",
        "nul",
        " ",
        "\"\u{1}\"",
        "\"é\"",
        "\"",
        "\\",
        "\n",
        "\u{b}",
    ];
    let mut valid = 0;
    for _ in 0..200_000 {
        let text: String = (0..rng.usize(1..9)).map(|_| *rng.choice(&parts).unwrap()).collect();
        let mut json = Json::new(text.as_bytes());
        let skipped = json.skip_value().and_then(|()| json.finish());
        let read = serde_json::from_str::<&RawValue>(&text);
        assert_eq!(skipped.is_ok(), read.is_ok(), "{text}: {skipped:?} {read:?}");
        valid += usize::from(read.is_ok());
    }
    assert!(valid > 5_000, "{valid}");
}

#[test]
fn a_text_is_valid_utf8_without_raw_control_characters() {
    for text in
        [&b"\"caf\xe9 and more\""[..], b"\"a\x01b\"", b"\"a", b"\"a\\", b"\"\\u12", b"\"\xff\\n\""]
    {
        assert!(Json::new(text).string().is_err(), "{text:?}");
    }
    let mut json = Json::new("\"größe, größer\" ".as_bytes());
    assert_eq!(json.string(), Ok(Text::Plain("größe, größer".as_bytes())));
    let lone = br#""cut \ud83d""#;
    assert_eq!(Json::new(lone).string(), Ok(Text::Escaped(lone)));
    assert_eq!(unescape(lone, &mut Vec::new(), str::to_owned), None);
}

#[test]
fn integers_of_18_digits_have_a_value() {
    for (text, integer) in [
        ("0", Some(0)),
        ("-12", Some(-12)),
        ("999999999999999999", Some(999_999_999_999_999_999)),
        ("1999999999999999999", None),
        ("-0", None),
        ("1.0", None),
        ("1e2", None),
    ] {
        let number = Json::new(text.as_bytes()).number().unwrap();
        assert_eq!((number.text, number.integer), (text.as_bytes(), integer));
    }
}

proptest! {
    #[test]
    fn a_text_is_what_serde_json_reads(text: String, before in 0usize..9) {
        let json = Value::from(text.as_str()).to_string();
        let all = " ".repeat(before) + &json + "  , \"more\"";
        let mut cursor = Json::new(all.as_bytes());
        cursor.peek();
        let read = match cursor.string().unwrap() {
            Text::Plain(plain) => str::from_utf8(plain).unwrap().to_owned(),
            Text::Escaped(quoted) => unescape(quoted, &mut Vec::new(), str::to_owned).unwrap(),
        };
        prop_assert_eq!((read, cursor.position()), (text, before + json.len()));
    }
}
