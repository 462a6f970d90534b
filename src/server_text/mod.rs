//! Texts of servers: error messages, states of jobs, ids, cursors.
//!
//! A server may quote the secrets that it was sent, and may send characters that change what a
//! terminal or a log shows. A [`ServerText`] can be made in one way only, which hides every known
//! secret in every form ([`secrets`]) and makes one printable line of bounded length
//! ([`printable`]). If personal data are hidden, so are numbers and addresses ([`contacts`]).
//! Request errors hold their texts as this type, so whatever prints, records or logs an error is
//! safe (G10).

mod contacts;
mod layer;
mod printable;
mod secrets;

use std::{fmt, ops::Deref};

use url::form_urlencoded;

pub(crate) use self::{
    contacts::hide_contacts,
    printable::is_hidden,
    secrets::{SecretKind, holds_secret, protect, redact},
};

/// The longest text of a server that is kept, in characters.
const LONGEST: usize = 500;
/// The longest part of a text that is quoted in an error message, in characters.
const LONGEST_QUOTE: usize = 80;

/// A text that a server had a part in, as one printable line without secrets.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerText(Box<str>);

impl ServerText {
    /// A part of an error message: shorter than other texts, so that what follows it is seen.
    pub(crate) fn quote(text: &str) -> Self {
        Self(clean(text, LONGEST_QUOTE).into())
    }
}

/// Hides the address of a result, which grants access to it, and what in it does so.
pub(crate) fn protect_address(address: &str) {
    /// Shorter values of a query are no signatures.
    const SHORTEST_SIGNATURE: usize = 16;
    protect(SecretKind::Address, address);
    let Some((_, query)) = address.split_once('?') else { return };
    protect(SecretKind::Address, query);
    for (_, value) in form_urlencoded::parse(query.as_bytes()) {
        if value.len() >= SHORTEST_SIGNATURE {
            protect(SecretKind::Address, &value);
        }
    }
}

/// One printable line of at most `longest` characters that holds no known secret, and no telephone
/// number, e-mail address or quoted JSON if these are hidden.
fn clean(text: &str, longest: usize) -> String {
    let line = printable::line(&secrets::redact_start(text));
    // the line may hold a secret that the text did not: a space where there was a line end
    printable::cut(&contacts::hidden(&redact(&line)), longest)
}

impl From<&str> for ServerText {
    fn from(text: &str) -> Self {
        Self(clean(text, LONGEST).into())
    }
}

impl From<String> for ServerText {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Deref for ServerText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl PartialEq<str> for ServerText {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for ServerText {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

#[cfg(test)]
mod tests;
