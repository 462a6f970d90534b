//! Finds the bytes that structure JSON, 32 or 64 of them in one step.

use wide::u8x16;

/// Where a part of a text ends.
pub(super) struct PartEnd {
    /// The position of the first quote, backslash or control character, or the length of the input.
    pub at: usize,
    /// Whether all bytes before are ASCII.
    pub is_ascii: bool,
}

/// Finds the end of the part of a text that begins at `at`.
#[inline]
pub(super) fn string_part(text: &[u8], mut at: usize) -> PartEnd {
    let mut is_ascii = true;
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<32>) {
        let (special, high) = text_bytes(chunk);
        // all bits below the first special byte
        let before = (special & special.wrapping_neg()).wrapping_sub(1);
        is_ascii &= high & before == 0;
        if special != 0 {
            return PartEnd { at: at + special.trailing_zeros() as usize, is_ascii };
        }
        at += 32;
    }
    let rest = text.get(at..).unwrap_or_default();
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    let end = rest.iter().position(is_special).unwrap_or(rest.len());
    PartEnd { at: at + end, is_ascii: is_ascii && rest[..end].is_ascii() }
}

/// A bit for each byte of a text that is a quote, backslash or control character, and one for each
/// that is not ASCII.
#[inline]
fn text_bytes(chunk: &[u8; 32]) -> (u32, u32) {
    let (mut special, mut high) = (0, 0);
    for (half, bytes) in chunk.as_chunks::<16>().0.iter().enumerate() {
        let bytes = u8x16::from(*bytes);
        let quote = bytes.simd_eq(u8x16::splat(b'"'));
        let backslash = bytes.simd_eq(u8x16::splat(b'\\'));
        let control = bytes.min(u8x16::splat(b' ' - 1)).simd_eq(bytes);
        special |= (quote | backslash | control).to_bitmask() << (16 * half);
        high |= bytes.to_bitmask() << (16 * half);
    }
    (special, high)
}

/// Which of 64 bytes give JSON its structure, with a bit for each byte.
pub(super) struct Block {
    pub quotes: u64,
    pub backslashes: u64,
    /// Brackets and braces.
    pub brackets: u64,
}

impl Block {
    /// The first 64 bytes of a text, which may be shorter.
    #[inline]
    pub(super) fn new(text: &[u8]) -> Self {
        if let Some(bytes) = text.first_chunk::<64>() {
            return Self::of(bytes);
        }
        let mut bytes = [b' '; 64];
        bytes[..text.len()].copy_from_slice(text);
        Self::of(&bytes)
    }

    #[inline]
    fn of(bytes: &[u8; 64]) -> Self {
        let are = |bytes: u8x16, byte: u8| bytes.simd_eq(u8x16::splat(byte));
        let mut block = Self { quotes: 0, backslashes: 0, brackets: 0 };
        for (index, bytes) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let bytes = u8x16::from(*bytes);
            // brackets and braces differ in one bit
            let braces = bytes | u8x16::splat(b'[' ^ b'{');
            let bits = |matches: u8x16| u64::from(matches.to_bitmask()) << (16 * index);
            block.quotes |= bits(are(bytes, b'"'));
            block.backslashes |= bits(are(bytes, b'\\'));
            block.brackets |= bits(are(braces, b'{') | are(braces, b'}'));
        }
        block
    }

    /// The bits of the bytes in texts, if those before the block end inside a text or not. A quote
    /// that begins a text is in it, one that ends it is not.
    #[inline]
    pub(super) fn in_texts(quotes: u64, begins_inside: bool) -> u64 {
        // each bit becomes the parity of itself and those below
        let mut inside = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        if begins_inside { !inside } else { inside }
    }
}
