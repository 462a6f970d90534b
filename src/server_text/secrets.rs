//! The secrets that this process knows, and their removal from texts.
//!
//! The set is one for the process: a secret of one source must not stand in a text about another,
//! and no function that reports something can forget to pass it on. It decides nothing.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Range,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use base64::{
    Engine,
    engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::server_text::layer::{self, Layer};

/// What stands in place of a secret.
const MASK: &str = "[secret]";
/// Shorter secrets are not hidden: they may be ordinary words of a message, like `me`.
const SHORTEST: usize = 5;
/// Secrets of each kind that are kept: the newest (G8).
const MOST_OF_A_KIND: usize = 1_000;
/// The part of a text that is read, in bytes.
const WINDOW: usize = 1 << 16;
/// The most bytes that one byte of a secret takes in a text that is escaped twice.
const LONGEST_ESCAPE: usize = 36;

static SECRETS: LazyLock<RwLock<Secrets>> = LazyLock::new(RwLock::default);

/// Where a secret comes from. Many secrets of one kind do not displace those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SecretKind {
    /// The configuration.
    Configured,
    /// A login or a token response.
    Token,
    /// The address of a result, which grants access to it.
    Address,
}

/// Hides `secret`, in every form, in all texts of servers from now on.
pub(crate) fn protect(kind: SecretKind, secret: &str) {
    if SECRETS.read().unwrap_or_else(PoisonError::into_inner).known.contains(secret) {
        return;
    }
    SECRETS.write().unwrap_or_else(PoisonError::into_inner).insert(kind, secret);
}

/// The text with a mask in place of every known secret.
pub(crate) fn redact(text: &str) -> String {
    SECRETS.read().unwrap_or_else(PoisonError::into_inner).redact(text, text.len())
}

/// The start of a text that may have any length, with a mask in place of every known secret.
pub(super) fn redact_start(text: &str) -> String {
    SECRETS.read().unwrap_or_else(PoisonError::into_inner).redact(text, WINDOW)
}

/// Whether a text holds a known secret.
pub(crate) fn holds_secret(text: &str) -> bool {
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    !secrets.find(text).is_empty()
}

/// A set of secrets in all their forms.
#[derive(Default)]
pub(super) struct Secrets {
    known: HashSet<Arc<str>>,
    /// The secrets of each kind, the oldest first.
    kinds: HashMap<SecretKind, VecDeque<Arc<str>>>,
    /// The forms by their first bytes.
    forms: HashMap<[u8; SHORTEST], Vec<Form>>,
    /// The length of the longest form so far, in bytes.
    longest: usize,
}

/// A secret as it may stand in a text.
struct Form {
    bytes: Vec<u8>,
    /// Whether it is a part of an encoded text, of which the rest is hidden, too.
    is_base64: bool,
    secret: Arc<str>,
}

impl Secrets {
    /// Adds a secret. The oldest of its kind is forgotten if there are too many.
    pub(super) fn insert(&mut self, kind: SecretKind, secret: &str) {
        if secret.len() < SHORTEST || MASK.contains(secret) || self.known.contains(secret) {
            return;
        }
        let secret: Arc<str> = secret.into();
        self.known.insert(Arc::clone(&secret));
        for form in forms(&secret) {
            self.longest = self.longest.max(form.bytes.len());
            if let Some(start) = form.bytes.first_chunk() {
                self.forms.entry(*start).or_default().push(form);
            }
        }
        let of_kind = self.kinds.entry(kind).or_default();
        of_kind.push_back(secret);
        if of_kind.len() > MOST_OF_A_KIND
            && let Some(oldest) = of_kind.pop_front()
        {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, secret: &Arc<str>) {
        self.known.remove(secret);
        for form in forms(secret) {
            let Some(start) = form.bytes.first_chunk::<SHORTEST>() else { continue };
            if let Some(same_start) = self.forms.get_mut(start) {
                same_start.retain(|other| other.secret != *secret);
                if same_start.is_empty() {
                    self.forms.remove(start);
                }
            }
        }
    }

    /// The first `window` bytes of a text without secrets. One that begins there is seen whole.
    pub(super) fn redact(&self, text: &str, window: usize) -> String {
        let seen = window.saturating_add(self.longest * LONGEST_ESCAPE);
        let text = &text[..floor_char_boundary(text, seen)];
        let window = floor_char_boundary(text, window);
        let mut redacted = String::with_capacity(window);
        let mut end = 0;
        for range in self.find(text) {
            if range.start >= window {
                break;
            }
            redacted.push_str(&text[end..range.start]);
            redacted.push_str(MASK);
            end = range.end;
        }
        redacted.push_str(text.get(end..window).unwrap_or_default());
        redacted
    }

    /// Where secrets stand in a text, in order, without overlaps.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        if self.forms.is_empty() || text.len() < SHORTEST {
            return Vec::new();
        }
        let mut found = Vec::new();
        layer::for_each_reading(text, |reading| {
            self.find_in(reading, true, &mut found);
            if let Some(joined) = reading.without_gaps() {
                self.find_in(&joined, false, &mut found);
            }
        });
        layer::merged(found)
    }

    /// Finds forms of secrets in one reading of a text. `widen` is whether the whole word around an
    /// encoded form is meant.
    fn find_in(&self, layer: &Layer, widen: bool, found: &mut Vec<Range<usize>>) {
        let bytes = &layer.bytes;
        for (at, start) in bytes.windows(SHORTEST).enumerate() {
            let Some(forms) = start.first_chunk().and_then(|start| self.forms.get(start)) else {
                continue;
            };
            for form in forms.iter().filter(|form| bytes[at..].starts_with(&form.bytes)) {
                let (mut from, mut to) = (at, at + form.bytes.len());
                if form.is_base64 && widen {
                    let before = bytes[..from].iter().rev().take_while(|byte| is_base64(**byte));
                    let after = bytes[to..].iter().take_while(|byte| is_base64(**byte));
                    (from, to) = (from - before.count(), to + after.count());
                }
                found.push(layer.range(from, to));
            }
        }
    }
}

/// Every form of a secret, beside escaped ones, which are found in the unescaped text.
fn forms(secret: &Arc<str>) -> Vec<Form> {
    let form = |bytes: Vec<u8>, is_base64| Form { bytes, is_base64, secret: Arc::clone(secret) };
    let mut all = vec![form(secret.as_bytes().to_vec(), false)];
    if secret.contains(' ') {
        all.push(form(secret.replace(' ', "+").into_bytes(), false));
    }
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    all.push(form(hex.to_uppercase().into_bytes(), false));
    all.push(form(hex.into_bytes(), false));
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for offset in 0..3 {
            let bytes = base64_within(secret, offset, &engine);
            if all.iter().all(|other| other.bytes != bytes) {
                all.push(form(bytes, true));
            }
        }
    }
    all.retain(|form| form.bytes.len() >= SHORTEST);
    all
}

/// The base64 digits of a secret that begins `offset` bytes into an encoded text, without those
/// that depend on what surrounds it.
fn base64_within(secret: &str, offset: usize, engine: &GeneralPurpose) -> Vec<u8> {
    let bytes = [&[0; 2][..offset], secret.as_bytes()].concat();
    let encoded = engine.encode(&bytes).into_bytes();
    encoded[(offset * 8).div_ceil(6)..bytes.len() * 8 / 6].to_vec()
}

/// The last place at or before `at` where a character begins, or the end of the text.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte)
}
