//! The key of the hashes.

use std::fmt::{self, Write};

use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// The shortest key, in bytes. With a shorter one, somebody could find it by trying, and then every
/// telephone number.
pub(crate) const SHORTEST_KEY: usize = 16;

/// The key of the hashes. It is never printed; two keys are equal if they hash alike.
#[derive(Clone)]
pub(crate) struct HashKey {
    key: hmac::Key,
    /// The hash of a constant, which tells keys apart.
    id: String,
}

impl HashKey {
    /// A key with these bytes.
    pub(crate) fn new(secret: &SecretString) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
        let id = hex(&key, b"cxbackfill: which key is it");
        Self { key, id }
    }

    /// The HMAC-SHA-256 of a text, as 64 hexadecimal digits.
    pub(crate) fn hash(&self, text: &[u8]) -> String {
        hex(&self.key, text)
    }
}

fn hex(key: &hmac::Key, text: &[u8]) -> String {
    let tag = hmac::sign(key, text);
    let mut hex = String::with_capacity(2 * tag.as_ref().len());
    for byte in tag.as_ref() {
        // writing to a string does not fail
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}

impl PartialEq for HashKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for HashKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_hmac_of_rfc_4231() {
        // test case 2 of RFC 4231
        let key = HashKey::new(&"Jefe".into());
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(key.hash(b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn g10_a_key_is_not_printed() {
        let key = HashKey::new(&"0123456789abcdef".into());
        assert_eq!(format!("{key:?}"), "HashKey");
    }
}
