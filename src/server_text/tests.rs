use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use url::form_urlencoded;

use super::{printable, secrets::Secrets, *};

const SECRET: &str = "hush-Hush/0123+\"sécret\"";

fn set(secrets: &[&str]) -> Secrets {
    let mut set = Secrets::default();
    for secret in secrets {
        set.insert(SecretKind::Configured, secret);
    }
    set
}

fn redacted(text: &str) -> String {
    set(&[SECRET]).redact(text, text.len())
}

/// The forms in which a server may quote a secret, made without the code that finds them.
fn quotations(secret: &str) -> Vec<String> {
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let json: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    let html: String = secret.chars().map(|character| format!("&#{};", character as u32)).collect();
    let wrapped: Vec<String> = STANDARD
        .encode(format!("Authorization: Basic me:{secret}; and more"))
        .as_bytes()
        .chunks(16)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    vec![
        secret.to_owned(),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        percent.to_uppercase(),
        percent.replace('%', "%25"),
        percent,
        json,
        html,
        serde_json::to_string(secret).unwrap(),
        serde_json::to_string(&serde_json::to_string(secret).unwrap()).unwrap(),
        secret.replace('/', "\\/"),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        secret.bytes().map(|byte| format!("{byte:02X}")).collect(),
        STANDARD.encode(secret),
        STANDARD.encode(format!("m:{secret}")),
        STANDARD.encode(format!("me:{secret}")),
        URL_SAFE_NO_PAD.encode(format!("Bearer {secret}")),
        form_urlencoded::byte_serialize(STANDARD.encode(secret).as_bytes()).collect(),
        wrapped.join("\r\n"),
    ]
}

#[test]
fn g10_a_secret_is_hidden_in_every_form() {
    for quotation in quotations(SECRET) {
        let text = redacted(&format!("I do not know `{quotation}`, sorry"));
        assert!(text.starts_with("I do not know `"), "{text}");
        assert!(text.ends_with("`, sorry"), "{text}");
        assert!(text.contains("[secret]"), "{quotation}: {text}");
        assert!(!text.contains(&quotation), "{quotation}: {text}");
    }
    assert_eq!(redacted("nothing of it: hush-Hush"), "nothing of it: hush-Hush");
}

#[test]
fn the_newest_secrets_of_a_kind_are_kept_and_those_of_other_kinds() {
    let mut secrets = set(&[SECRET]);
    for number in 0..3_000 {
        secrets.insert(SecretKind::Token, &format!("token-{number:04}"));
    }
    let text = format!("token-0001 token-2999 {SECRET}");
    assert_eq!(secrets.redact(&text, 1_000), "token-0001 [secret] [secret]");
    // a short one may be a word, and the mask is none of the secrets
    assert_eq!(set(&["me", "secret"]).redact("me and the secret", 100), "me and the secret");
}

#[test]
fn a_secret_at_the_end_of_what_is_read_is_hidden_whole() {
    let secrets = set(&[SECRET]);
    for window in 0..40 {
        let text = secrets.redact(&format!("a {SECRET} b"), window);
        assert!("a [secret] b".starts_with(&text), "{window}: {text}");
    }
}

#[test]
fn a_text_of_a_server_is_one_printable_line() {
    let text = |text: &str| ServerText::from(text).to_string();
    assert_eq!(text("bad\r\n\tERROR forged"), "bad ERROR forged");
    assert_eq!(text("\u{1b}[2J\u{1b}]0;x\u{7}"), "\\u{1b}[2J\\u{1b}]0;x\\u{7}");
    assert_eq!(text("\u{9b}31m \u{202e}abc\u{200b}"), "\\u{9b}31m \\u{202e}abc\\u{200b}");
    assert_eq!(text("Grüße, नमस्ते, 你好 👍"), "Grüße, नमस्ते, 你好 👍");
    assert_eq!(text(&"é".repeat(600)), format!("{}…", "é".repeat(499)));
    assert_eq!(ServerText::quote(&"a".repeat(99)).chars().count(), 80);
    assert_eq!(text(&text("\u{1b}")), "\\u{1b}", "it is not escaped twice");
}

/// `SEEDS=n` tries more.
#[test]
fn any_text_becomes_one_bounded_printable_line_without_secrets() {
    let seeds = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    for seed in 0..seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        let length = rng.usize(5..60);
        let secret: String = (0..length).map(|_| any_character(&mut rng)).collect();
        if secret.trim() != secret || secret.contains(char::is_whitespace) {
            continue;
        }
        let mut text = String::new();
        let quotations = quotations(&secret);
        for _ in 0..rng.usize(1..8) {
            let length = rng.usize(0..50);
            text.extend((0..length).map(|_| any_character(&mut rng)));
            text.push(' ');
            text.push_str(&quotations[rng.usize(..quotations.len())]);
            text.push(' ');
        }
        let mut secrets = Secrets::default();
        secrets.insert(SecretKind::Token, &secret);
        let line = printable::line(&secrets.redact(&text, text.len()));
        let line = printable::cut(&secrets.redact(&line, line.len()), LONGEST);
        assert!(line.chars().count() <= LONGEST, "seed {seed}");
        let is_plain = |c: char| !c.is_control() && (c == ' ' || !c.is_whitespace());
        assert!(line.chars().all(is_plain), "seed {seed}: {line:?}");
        let directions = ['\u{200b}', '\u{200e}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{feff}'];
        assert!(!line.contains(directions), "seed {seed}: {line:?}");
        for quotation in quotations.iter().filter(|quotation| quotation.len() > 6) {
            assert!(!line.contains(quotation.as_str()), "seed {seed}: {quotation:?} in {line:?}");
        }
    }
}

fn any_character(rng: &mut fastrand::Rng) -> char {
    let odd = ['\u{1b}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\n', '\0'];
    let escapes = ['%', '\\', '&', '"', '/', '+', '=', ';', '#', 'u', '{'];
    match rng.u8(..10) {
        0 => odd[rng.usize(..odd.len())],
        1 => escapes[rng.usize(..escapes.len())],
        2 => rng.char(..),
        _ => rng.alphanumeric(),
    }
}

#[test]
fn g10_the_address_of_a_result_and_the_signature_in_it_are_hidden() {
    let signature = "Qm9vbSBib29tIGJvb20gYm9vbQ";
    let address = format!("https://files.example/results/1?name=abc&signature={signature}");
    protect_address(&address);
    for text in [
        format!("cannot fetch {address}"),
        format!("the signature {signature} has expired"),
        format!("/results/1?name=abc&signature={signature}"),
    ] {
        let said = ServerText::from(text.as_str());
        assert!(said.contains("[secret]") && !said.contains(signature), "{said}");
    }
    assert_eq!(ServerText::from("name=abc"), "name=abc", "short values are no signatures");
}

#[test]
fn a_part_of_a_message_is_hidden_like_the_whole() {
    hide_contacts();
    let text = "no caller tel:+4930123456 (zoe@example.org)";
    let shown = "no caller tel:[personal] ([personal])";
    assert_eq!(ServerText::from(text), *shown);
    assert_eq!(ServerText::quote(text), *shown);
}
