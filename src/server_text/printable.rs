//! One printable line of any text.

use std::fmt::Write;

/// The text as one line: white space and line ends become one space, and characters that a terminal
/// would act on or hide are escaped like `\u{1b}`. They are not removed, since what is left could
/// then read as something else.
pub(super) fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut is_space_due = false;
    for character in text.chars() {
        if character.is_whitespace() {
            is_space_due = !line.is_empty();
            continue;
        }
        if std::mem::take(&mut is_space_due) {
            line.push(' ');
        }
        if is_hidden(character) {
            // cannot fail: a text takes everything
            let _ = write!(line, "\\u{{{:x}}}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    line
}

/// The first `longest` characters of a line, with an ellipsis if there are more.
pub(super) fn cut(line: &str, longest: usize) -> String {
    match line.char_indices().nth(longest) {
        None => line.to_owned(),
        Some(_) => line.chars().take(longest - 1).chain(['…']).collect(),
    }
}

/// Whether a terminal acts on a character or shows nothing in its place: control characters of both
/// sets, marks that change the direction of writing, and everything of no width but accents.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
