//! Texts of a CSV file that a spreadsheet takes for something else: formulas, numbers, dates.
//!
//! Spreadsheets guess: `=cmd` is a formula, `0049` the number 49, `1e5` the number 100000, `3-4` a
//! date, and of more than 15 digits the last become zeros. The rules are what LibreOffice Calc and
//! Excel do with an English locale.

/// The beginnings of formulas, the wide forms included.
const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
/// The digits of a number that a spreadsheet keeps.
const KEPT_DIGITS: usize = 15;
/// The most bytes of a text that is taken for a number, a time or a date.
const LONGEST_GUESSED: usize = 40;
/// What numbers, times and dates consist of, beside digits and a word.
const SIGNS: &[u8] = b".,:;/-+%()$' ";
/// The beginnings of words that numbers, times and dates contain.
const WORDS: [&str; 16] = [
    "e", "am", "pm", "t", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct",
    "nov", "dec",
];

/// Whether a spreadsheet takes a text for a formula, or for a value that it shows in another way.
pub(super) fn is_misread(text: &[u8]) -> bool {
    let is_formula = FORMULA_STARTS
        .iter()
        .any(|start| text.starts_with(start.encode_utf8(&mut [0; 4]).as_bytes()));
    let is_truth_value =
        [&b"true"[..], b"false"].iter().any(|value| text.eq_ignore_ascii_case(value));
    is_formula || is_truth_value || is_guessed(text)
}

/// Whether a spreadsheet drops digits of a number.
pub(super) fn loses_digits(number: &[u8]) -> bool {
    number.len() > KEPT_DIGITS && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')
}

/// Whether a text may be a number, a time or a date that is shown in another way.
fn is_guessed(text: &[u8]) -> bool {
    if text.len() > LONGEST_GUESSED || !text.iter().any(u8::is_ascii_digit) {
        return false;
    }
    let is_shown_as_it_is =
        text.iter().all(u8::is_ascii_digit) && (text[0] != b'0' || text.len() == 1);
    if is_shown_as_it_is {
        return loses_digits(text);
    }
    let is_usual =
        |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_alphabetic() || SIGNS.contains(byte);
    let is_known = |word: &[u8]| {
        let word = String::from_utf8_lossy(word).to_lowercase();
        WORDS.iter().any(|known| word == *known || (known.len() == 3 && word.starts_with(known)))
    };
    let mut words = text.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    text.iter().all(is_usual) && words.all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_a_spreadsheet_shows_otherwise_are_told_from_those_that_it_leaves() {
        for misread in [
            "=1+1",
            "＝1",
            "+49 89",
            "-1",
            "@x",
            "\tx",
            "TRUE",
            "False",
            "0049",
            "00",
            "1e5",
            "1.50",
            "1,000",
            "1/2",
            "3-4",
            "12:30",
            "12:30 PM",
            "2024-01-01",
            "2024-01-01T10:00:00",
            "4 Mar",
            "March1",
            "12-december-2024",
            "50%",
            "$5",
            "(5)",
            " 7",
            "7 ",
            "1234567890123456",
        ] {
            assert!(is_misread(misread.as_bytes()), "{misread}");
        }
        for left in [
            "",
            " ",
            "a",
            "plain",
            "0",
            "7",
            "49",
            "123456789012345",
            "tel:+49",
            "2 calls",
            "v1.2",
            "a1",
            "5e0c1a2b-77aa-4b1c-9c3e-0123456789ab",
            "NULL",
            "maybe",
            "ünï 1",
            "sip:1@x",
        ] {
            assert!(!is_misread(left.as_bytes()), "{left}");
        }
        assert!(loses_digits(b"1234567890123456") && loses_digits(b"-1234567890123456"));
        assert!(!loses_digits(b"123456789012345") && !loses_digits(b"0.3333333333333333"));
    }
}
