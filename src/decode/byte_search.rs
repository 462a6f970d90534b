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
    let special = |bytes: u8x16| {
        let quote = bytes.simd_eq(u8x16::splat(b'"'));
        let backslash = bytes.simd_eq(u8x16::splat(b'\\'));
        let control = bytes.min(u8x16::splat(b' ' - 1)).simd_eq(bytes);
        (quote | backslash | control).to_bitmask()
    };
    let [low, high] = halves(chunk);
    (special(low) | special(high) << 16, low.to_bitmask() | high.to_bitmask() << 16)
}

/// A bit for each byte that two texts have in common.
#[inline]
pub(super) fn equal_bytes(one: &[u8; 32], other: &[u8; 32]) -> u32 {
    let ([one_low, one_high], [other_low, other_high]) = (halves(one), halves(other));
    let (low, high) = (one_low.simd_eq(other_low), one_high.simd_eq(other_high));
    low.to_bitmask() | high.to_bitmask() << 16
}

#[inline]
fn halves(bytes: &[u8; 32]) -> [u8x16; 2] {
    let half = |at| *bytes[at..].first_chunk().expect("two halves of 16 bytes");
    [u8x16::from(half(0)), u8x16::from(half(16))]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of JSON and others, drawn with a seed.
    fn texts() -> impl Iterator<Item = Vec<u8>> {
        let mut rng = fastrand::Rng::with_seed(1);
        let bytes = b"ab \"\"\\{}[]\n\x1f\x20\x7f\x80\xff;:,0";
        (0..20_000).map(move |_| {
            // few special bytes in most texts, so that some parts are long
            let odds = rng.u8(1..40);
            let byte = |rng: &mut fastrand::Rng| match rng.u8(..odds) {
                0 => *rng.choice(bytes).expect("some bytes"),
                _ => b'a',
            };
            (0..rng.usize(..150)).map(|_| byte(&mut rng)).collect()
        })
    }

    #[test]
    fn the_end_of_a_part_is_the_first_special_byte() {
        for text in texts() {
            let at = text.len() / 3;
            let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
            let end = text[at..].iter().position(is_special).map_or(text.len(), |end| at + end);
            let found = string_part(&text, at);
            let expected = (end, text[at..end].is_ascii());
            assert_eq!((found.at, found.is_ascii), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_block_has_a_bit_for_each_byte_that_structures_json() {
        for text in texts() {
            let block = Block::new(&text);
            let bits = |wanted: &[u8]| {
                let first = text.iter().take(64).enumerate();
                first.fold(0, |bits, (at, byte)| bits | u64::from(wanted.contains(byte)) << at)
            };
            let found = (block.quotes, block.backslashes, block.brackets);
            assert_eq!(found, (bits(b"\""), bits(b"\\"), bits(b"{}[]")), "{}", text.escape_ascii());
            for begins_inside in [false, true] {
                let mut inside = begins_inside;
                let mut expected = 0u64;
                for at in 0..64 {
                    inside ^= block.quotes >> at & 1 == 1;
                    expected |= u64::from(inside) << at;
                }
                assert_eq!(Block::in_texts(block.quotes, begins_inside), expected);
            }
        }
    }
}
