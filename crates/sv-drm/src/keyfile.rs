//! The text of a key file: one `KID:KEY` in hexadecimal a line, `#` for comments.

use sv_core::KeyId;

use crate::{ContentKey, Error};

/// Reads every key of a key file, in order.
///
/// # Errors
/// [`Error::Syntax`] at the first line that is neither a key, a comment nor empty; the message does
/// not repeat the line.
pub fn parse(text: &str) -> Result<Vec<(KeyId, ContentKey)>, Error> {
    const SYNTAX: Error = Error::Syntax {
        what: "each line of a key file",
        expected: "KID:KEY, each of 32 hexadecimal digits (a line that begins with # is a comment)",
    };
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (kid, key) = line.split_once(':').ok_or(SYNTAX)?;
        let kid = KeyId::from_hex(kid.trim()).ok_or(SYNTAX)?;
        keys.push((kid, ContentKey::from_hex(key.trim()).map_err(|_| SYNTAX)?));
    }
    if keys.is_empty() {
        return Err(SYNTAX);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_never_repeated_in_errors() {
        let text = "# film\n31323334353637383930313233343536:32333435363738393021323334353637\n\n";
        let keys = parse(text).unwrap();
        assert_eq!(keys.len(), 1);
        let error = parse("31323334353637383930313233343536:tooshort").unwrap_err().to_string();
        assert!(!error.contains("tooshort") && error.contains("KID:KEY"));
        assert!(parse("").is_err());
    }
}
