//! Names: a prefix that says what it names, then the time, then chance.

use crate::time::now_ms;

/// Crockford's base 32, lower case: no letters that look like digits.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new name such as `vid_01k9w3m5p8xq4t7r2c6hfnz0ae`: 48 bits of time, so that names sort by age,
/// and 80 random bits, so that nobody guesses one.
pub(crate) fn new(prefix: &str) -> String {
    let mut chance = [0; 16];
    random(&mut chance[..10]);
    let time = u128::from(now_ms().cast_unsigned() & 0xffff_ffff_ffff);
    let bits = time << 80 | u128::from_le_bytes(chance) & ((1 << 80) - 1);
    let digits = (0..26).rev().map(|n| char::from(DIGITS[(bits >> (5 * n) & 31) as usize]));
    format!("{prefix}_{}", digits.collect::<String>())
}

/// Whether a text has the shape of a name with this prefix. Only then it is used in a path.
pub(crate) fn is(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .and_then(|t| t.strip_prefix('_'))
        .is_some_and(|t| t.len() == 26 && t.bytes().all(|b| DIGITS.contains(&b)))
}

/// Fills from the operating system's source of randomness.
pub(crate) fn random(out: &mut [u8]) {
    // Without it no key and no token is safe, and no system that we run on lacks it.
    getrandom::fill(out).expect("the operating system gives randomness");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_shape() {
        let name = new("vid");
        assert!(is("vid", &name) && !is("upl", &name), "{name}");
        assert!(!is("vid", "vid_../../../etc/passwd"));
        assert_ne!(name, new("vid"));
    }
}
