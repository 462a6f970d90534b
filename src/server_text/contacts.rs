//! Telephone numbers and e-mail addresses in texts of servers.
//!
//! An error may quote the row that it is about. Names cannot be recognized, but numbers and addresses
//! have a form. The switch is one for the process, as the set of secrets is: whatever reports
//! something about one source cannot forget that another one hides personal data.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
};

/// What stands in place of a number or an address.
const MASK: &str = "[personal]";
/// Shorter numbers are counts, statuses and years.
const FEWEST_DIGITS: usize = 7;
/// A longer number is an id: a telephone number has at most 15 digits.
const MOST_DIGITS: usize = 15;

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
            _ if first == '+' => number(rest),
            Some(last) if last.is_alphanumeric() => None,
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

/// The length of the e-mail address at the start of a text.
fn address(text: &str) -> Option<usize> {
    let is_local = |c: char| c.is_alphanumeric() || "._%+-'".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || ".-".contains(c);
    let at = text.find(|c: char| !is_local(c)).filter(|at| *at > 0)?;
    let domain = text[at..].strip_prefix('@')?;
    let end = domain.find(|c: char| !is_domain(c)).unwrap_or(domain.len());
    let domain = domain[..end].trim_end_matches(['.', '-']);
    domain.contains('.').then_some(at + 1 + domain.len())
}

/// The length of the telephone number at the start of a text: with a plus in any usual way of writing,
/// else only digits, which are no part of an id or a time.
fn number(text: &str) -> Option<usize> {
    let is_international = text.starts_with('+');
    let is_part = |c: char| c.is_ascii_digit() || is_international && "+ ()-./".contains(c);
    let end = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    let length = text[..end].trim_end_matches(|c: char| !c.is_ascii_digit()).len();
    let digits = text[..length].bytes().filter(u8::is_ascii_digit).count();
    let mut after = text[length..].chars();
    let is_more = match after.next() {
        Some('-' | '.' | ':') => after.next().is_some_and(char::is_alphanumeric),
        next => next.is_some_and(|next| next.is_alphanumeric() || next == '_'),
    };
    let is_number = (FEWEST_DIGITS..=MOST_DIGITS).contains(&digits);
    (is_number && (is_international || !is_more)).then_some(length)
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
    fn ids_times_counts_and_words_stay() {
        for text in [
            "the server answered 400: invalid.value (correlation id 0a1b2c3d-1234567-90)",
            "12345678-1234-4123-8123-123456789012",
            "/api/v2/x?interval=2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z&page=12",
            "20240101T000000.000Z",
            "123456 rows, 1 + 1 of 31, 9007199254740993, v2_1234567_x",
            "@me, a@b, x@",
            "größe 🙂 +",
        ] {
            assert_eq!(without_contacts(text), text);
        }
    }
}
