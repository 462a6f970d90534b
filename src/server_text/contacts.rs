//! Hides telephone numbers, e-mail addresses and quoted JSON in texts of servers.
//!
//! An error may quote the row that it is about. Names cannot be recognized, but numbers and
//! addresses have a form, and so has JSON: from its first object on, the rest of a text is hidden.
//! This is switched on for the whole process, as the set of secrets is: if one source has
//! `[privacy]`, the errors of all sources are masked.

use std::{
    borrow::Cow,
    net::Ipv4Addr,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::server_text::layer::{self, Layer};

/// What stands in place of a number, an address or JSON.
const MASK: &str = "[personal]";
/// Shorter numbers are counts, statuses and years.
const FEWEST_DIGITS: usize = 7;
/// A longer number is an id: a telephone number has at most 15 digits.
const MOST_DIGITS: usize = 15;
/// Fewer digits in several groups, without a plus, are counts or times.
const FEWEST_GROUPED_DIGITS: usize = 10;
/// The most characters between two groups of digits: `) ` or ` - `.
const WIDEST_GAP: usize = 3;
/// The most characters in front of the `@` of an address.
const LONGEST_LOCAL_PART: usize = 64;

static ARE_HIDDEN: AtomicBool = AtomicBool::new(false);

/// Hides telephone numbers and e-mail addresses in all texts of servers from now on.
pub(crate) fn hide_contacts() {
    ARE_HIDDEN.store(true, Ordering::Relaxed);
}

/// The text, with a mask in place of numbers and addresses if they are to be hidden.
pub(super) fn hidden(text: &str) -> Cow<'_, str> {
    match ARE_HIDDEN.load(Ordering::Relaxed) {
        true => without_contacts(text).into(),
        false => text.into(),
    }
}

/// The text with a mask in place of telephone numbers, e-mail addresses and quoted JSON, however
/// they are escaped.
fn without_contacts(text: &str) -> String {
    let mut found = Vec::new();
    layer::for_each_reading(text, |reading| find_in(reading, &mut found));
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for range in layer::merged(found) {
        shown.push_str(&text[end..range.start]);
        shown.push_str(MASK);
        end = range.end;
    }
    shown.push_str(&text[end..]);
    shown
}

/// Finds numbers, addresses and JSON in one reading of a text.
fn find_in(reading: &Layer, found: &mut Vec<Range<usize>>) {
    let text = reading.text();
    let (mut at, mut last_end) = (0, 0);
    while let Some(first) = text[at..].chars().next() {
        match length_at(&text[last_end..at], &text[at..]) {
            Some(length) => {
                found.push(reading.range(at, at + length));
                at += length;
                last_end = at;
            }
            None => at += first.len_utf8(),
        }
    }
}

/// The length of what is to be hidden at the start of `rest`, which comes after `before`.
fn length_at(before: &str, rest: &str) -> Option<usize> {
    let follows_digit = |separator: char| {
        let digits = before.strip_suffix(separator);
        digits.is_some_and(|digits| digits.ends_with(|c: char| c.is_ascii_digit()))
    };
    match before.chars().next_back() {
        _ if starts_object(rest) => Some(rest.len()),
        _ if rest.starts_with('+') => number(rest).or_else(|| address(rest)),
        Some(last) if last.is_alphanumeric() => None,
        // the minutes of a time, or a part of a decimal number or of an address of a network
        Some(':') if follows_digit(':') => address(rest),
        Some('.') if follows_digit('.') => address(rest),
        // a part of an id
        Some('-' | '_') => address(rest),
        _ => address(rest).or_else(|| number(rest)),
    }
}

/// Whether a text starts with a JSON object that has a key.
fn starts_object(text: &str) -> bool {
    let inner = text.strip_prefix('{').map(|text| text.trim_start_matches([' ', '\\']));
    inner.is_some_and(|inner| inner.starts_with('"'))
}

/// The length of the e-mail address at the start of a text.
fn address(text: &str) -> Option<usize> {
    let is_local = |c: char| c.is_alphanumeric() || "._%+-'".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || ".-".contains(c);
    let mut others = text.char_indices().take(LONGEST_LOCAL_PART + 1);
    let (at, _) = others.find(|&(_, c)| !is_local(c))?;
    let domain = text[at..].strip_prefix('@').filter(|_| at > 0)?;
    let end = domain.find(|c: char| !is_domain(c)).unwrap_or(domain.len());
    let domain = domain[..end].trim_end_matches(['.', '-']);
    domain.contains('.').then_some(at + 1 + domain.len())
}

/// The length of the telephone number at the start of a text: groups of digits with a plus in
/// front, or 10 digits or more in at least two groups, or digits in a row. None is a part of an id
/// or a time.
fn number(text: &str) -> Option<usize> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_international = digits.len() < text.len();
    if !is_international && !text.starts_with(|c: char| c.is_ascii_digit() || c == '(') {
        return None;
    }
    let groups = digit_groups(digits, |c| is_separator(c) || is_international && c == '/');
    let is_number = |at: usize| {
        let (length, digits) = groups[at];
        if is_international {
            return digits >= FEWEST_DIGITS;
        }
        let is_enough = match at {
            0 => digits >= FEWEST_DIGITS && text.starts_with(|c: char| c.is_ascii_digit()),
            _ => digits >= FEWEST_GROUPED_DIGITS && !is_dotted(&text[..length]),
        };
        is_enough && !goes_on(&text[length..])
    };
    let last = (0..groups.len()).rev().find(|at| is_number(*at))?;
    Some(text.len() - digits.len() + groups[last].0)
}

/// Whether a character stands between groups of digits.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '-' | '.' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Where groups of digits at the start of a text end, and how many digits there are up to there: at
/// most as many as a telephone number has, and none of a date.
fn digit_groups(text: &str, is_separator: impl Fn(char) -> bool) -> Vec<(usize, usize)> {
    let (mut groups, mut end, mut digits) = (Vec::new(), 0, 0);
    loop {
        let rest = &text[end..];
        let gap = rest.chars().take(WIDEST_GAP).take_while(|&c| is_separator(c));
        let gap: usize = gap.map(char::len_utf8).sum();
        let group = &rest[gap..];
        let length = group.find(|c: char| !c.is_ascii_digit()).unwrap_or(group.len());
        digits += length;
        if length == 0 || digits > MOST_DIGITS || starts_with_date(group) {
            return groups;
        }
        end += gap + length;
        groups.push((end, digits));
    }
}

/// Whether a text starts with a date of this or the last century, such as `2024-01-31`.
fn starts_with_date(text: &str) -> bool {
    let is_form = |(at, byte): (usize, &u8)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    let date = text.as_bytes().get(..10);
    (text.starts_with("19") || text.starts_with("20"))
        && date.is_some_and(|date| date.iter().enumerate().all(is_form))
}

/// Whether digits with dots are a decimal number or an address of a network.
fn is_dotted(text: &str) -> bool {
    let is_dotted = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_dotted && (text.matches('.').count() < 2 || text.parse::<Ipv4Addr>().is_ok())
}

/// Whether what follows digits makes them a part of an id, a time or a longer number.
fn goes_on(after: &str) -> bool {
    let mut after = after.chars();
    match after.next() {
        Some('-') => after.next().is_some_and(char::is_alphanumeric),
        Some('.' | ':') => after.next().is_some_and(|c| c.is_ascii_digit()),
        next => next.is_some_and(|next| next.is_alphanumeric() || next == '_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_hidden_in_any_usual_way_of_writing() {
        for text in [
            "+4930123456",
            "tel:+4930123456",
            "sip:+49 (30) 12-34.56/7",
            "no participant 4930123456, sorry",
            "call 555-123-4567 again",
            "(555) 123-4567",
            "to:555.123.4567",
            "0301234567-12",
            "030 123 45 67",
            "tel:%2B4930123456",
            "x=zoe%40example.org",
            "zoe.mueller+x@mail.example.org",
            "to zoë@example.org.",
            "(x@y.de)",
            "call 4930123456.Thanks",
            "caller 4930123456:not found",
            "caller...4930123456",
            "+49\u{2011}30\u{2013}123456, 10 s",
            "at 12:x@y.de",
        ] {
            let hidden = without_contacts(text);
            let rest = hidden.replace(MASK, "");
            assert_eq!(hidden.matches(MASK).count(), 1, "{text}: {hidden}");
            let rest = rest.replace("at 12:", "").replace(", 10 s", "");
            assert!(!rest.contains(|c: char| c.is_ascii_digit() || c == '@'), "{text}: {hidden}");
        }
    }

    #[test]
    fn numbers_and_addresses_are_hidden_however_they_are_escaped() {
        for escaped in [
            r"\u002B4930123456",
            r"\\u002b4930123456",
            r"caller:\n4930123456",
            r"caller:\t0301234567",
            "%2B4930123456",
            "%252B4930123456",
            "%2B49%20%2830%29%20123456",
            "&#43;4930123456",
            "&#x2B;4930123456",
            "&plus;49&nbsp;30&nbsp;123456",
            r"kunde\u0040example.com",
            "kunde%40example.com",
            "kunde&#64;example.com",
            "M%FCller%40example.com",
        ] {
            let text = format!("no caller '{escaped}', try again");
            let hidden = without_contacts(&text);
            assert!(hidden.contains(MASK) && hidden.ends_with("', try again"), "{text}: {hidden}");
            for part in ["4930123456", "0301234567", "123456", "kunde", "example"] {
                assert!(!hidden.contains(part), "{text}: {hidden}");
            }
        }
    }

    #[test]
    fn json_that_a_server_quotes_is_hidden_to_the_end() {
        for text in [
            r#"invalid body: {"participantName":"Zoë", "n": [1]}"#,
            r#"invalid body: { "name": "Zoë"#,
            r#"invalid body: {\"name\":\"Zoë\"}"#,
            "invalid body: {&quot;name&quot;:&quot;Zoë&quot;}",
            "invalid body: %7B%22name%22%3A%22Zo%C3%AB%22%7D",
        ] {
            assert_eq!(without_contacts(text), "invalid body: [personal]", "{text}");
        }
        let path = "/api/v2/conversations/{conversationId} has no {} and no {x}";
        assert_eq!(without_contacts(path), path);
    }

    #[test]
    fn g8_a_hostile_text_is_searched_in_time_that_grows_with_its_length() {
        for unit in ["a.", ":", "(", "1-", "+", "{", "%2B", "a@", "\\"] {
            let text = unit.repeat((1 << 16) / unit.len());
            let start = tokio::time::Instant::now();
            without_contacts(&text);
            let seconds = start.elapsed().as_secs_f64();
            assert!(seconds < 5.0, "{unit}: {seconds} s");
        }
    }

    #[test]
    fn a_number_before_a_date_or_a_time_is_hidden_without_it() {
        for (text, shown) in [
            ("+49 30 123456 2024-01-01 10:00:00", "[personal] 2024-01-01 10:00:00"),
            ("2024-01-01 10:00:00 555-123-4567", "2024-01-01 10:00:00 [personal]"),
            ("555-123-4567 2024-01-01", "[personal] 2024-01-01"),
        ] {
            assert_eq!(without_contacts(text), shown);
        }
    }

    #[test]
    fn ids_times_counts_and_words_stay() {
        for text in [
            "the server answered 400: invalid.value (correlation id 0a1b2c3d-1234567-90)",
            "12345678-1234-4123-8123-123456789012",
            "/api/v2/x?interval=2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z&page=12",
            "20240101T000000.000Z",
            "2024-01-01 00:00:00, 2024-01-01/2024-01-02, 2024-01-01 2024-01-02",
            "12345678-1234-4123-8123-12345678901a",
            "10.120.130.140, 192.168.100.200:8080, 1704067.2001",
            "123456 rows, 1 + 1 of 31, 9007199254740993, v2_1234567_x",
            "@me, a@b, x@",
            "größe 🙂 +",
        ] {
            assert_eq!(without_contacts(text), text);
        }
    }
}
