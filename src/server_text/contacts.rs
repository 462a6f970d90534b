//! Telephone numbers and e-mail addresses in texts of servers.
//!
//! An error may quote the row that it is about. Names cannot be recognized, but numbers and
//! addresses have a form. The switch is one for the process, as the set of secrets is: if one
//! source has `[privacy]`, the errors of all sources are masked.

use std::{
    borrow::Cow,
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
};

/// What stands in place of a number or an address.
const MASK: &str = "[personal]";
/// Shorter numbers are counts, statuses and years.
const FEWEST_DIGITS: usize = 7;
/// A longer number is an id: a telephone number has at most 15 digits.
const MOST_DIGITS: usize = 15;

/// Fewer digits in several groups, without a plus, are counts or times.
const FEWEST_GROUPED_DIGITS: usize = 10;
/// The most characters between two groups of digits: `) ` or ` - `.
const WIDEST_GAP: usize = 3;
/// A plus as it is, and in an address of the web.
const PLUS: [&str; 3] = ["+", "%2B", "%2b"];
/// An at sign in an address of the web.
const ENCODED_AT: &str = "%40";

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

/// The text with a mask in place of telephone numbers and e-mail addresses.
fn without_contacts(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let last = shown.chars().next_back();
        let found = match last {
            _ if PLUS.iter().any(|plus| rest.starts_with(plus)) => {
                number(rest).or_else(|| address(rest))
            }
            Some(last) if last.is_alphanumeric() => None,
            // the minutes or seconds of a time
            Some(':') if is_time(&shown) => None,
            // a part of an id or of a decimal number
            Some('-' | '_' | '.') => address(rest),
            _ => address(rest).or_else(|| number(rest)),
        };
        match found {
            Some(length) => {
                shown.push_str(MASK);
                rest = &rest[length..];
            }
            None => {
                shown.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    shown
}

/// Whether a text ends with digits of a time and a colon.
fn is_time(text: &str) -> bool {
    text.ends_with(':') && text.trim_end_matches(':').ends_with(|c: char| c.is_ascii_digit())
}

/// The length of the e-mail address at the start of a text.
fn address(text: &str) -> Option<usize> {
    let is_local = |c: char| c.is_alphanumeric() || "._%+-'".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || ".-".contains(c);
    let end = text.find(|c: char| !is_local(c)).unwrap_or(text.len());
    let (at, start) = match text[..end].find(ENCODED_AT) {
        Some(at) => (at, at + ENCODED_AT.len()),
        None => (end, end + text[end..].starts_with('@').then_some(1)?),
    };
    let domain = text.get(start..).filter(|_| at > 0)?;
    let end = domain.find(|c: char| !is_domain(c)).unwrap_or(domain.len());
    let domain = domain[..end].trim_end_matches(['.', '-']);
    domain.contains('.').then_some(start + domain.len())
}

/// The length of the telephone number at the start of a text: groups of digits with a plus in
/// front, or 10 digits or more in at least two groups, or digits in a row. None is a part of an id
/// or a time.
fn number(text: &str) -> Option<usize> {
    let plus = PLUS.iter().find(|plus| text.starts_with(**plus)).map_or(0, |plus| plus.len());
    let is_international = plus > 0;
    if !is_international && !text.starts_with(|c: char| c.is_ascii_digit() || c == '(') {
        return None;
    }
    let separators = if is_international { " ()-./" } else { " ()-." };
    let groups = digit_groups(&text[plus..], separators);
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
    Some(plus + groups[last].0)
}

/// Where groups of digits at the start of a text end, and how many digits there are up to there: at
/// most as many as a telephone number has, and none of a date.
fn digit_groups(text: &str, separators: &str) -> Vec<(usize, usize)> {
    let (mut groups, mut end, mut digits) = (Vec::new(), 0, 0);
    loop {
        let rest = &text[end..];
        let gap = rest.find(|c| !separators.contains(c)).unwrap_or(rest.len());
        let group = &rest[gap..];
        let length = group.find(|c: char| !c.is_ascii_digit()).unwrap_or(group.len());
        digits += length;
        if length == 0 || gap > WIDEST_GAP || digits > MOST_DIGITS || starts_with_date(group) {
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
        Some('-' | '.' | ':') => after.next().is_some_and(char::is_alphanumeric),
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
        ] {
            let hidden = without_contacts(text);
            let rest = hidden.replace(MASK, "");
            assert_eq!(hidden.matches(MASK).count(), 1, "{text}: {hidden}");
            assert!(!rest.contains(|c: char| c.is_ascii_digit() || c == '@'), "{text}: {hidden}");
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
