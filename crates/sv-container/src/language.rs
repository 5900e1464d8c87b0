//! Languages: BCP 47 tags in our tracks, three packed letters of ISO 639-2/T in `mdhd`.

/// Two-letter codes of ISO 639-1 and their three letters: BCP 47 wants the shorter one.
const SHORT: &[(&str, &str)] = &[
    ("af", "afr"),
    ("am", "amh"),
    ("ar", "ara"),
    ("az", "aze"),
    ("be", "bel"),
    ("bg", "bul"),
    ("bn", "ben"),
    ("bs", "bos"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("cy", "cym"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("eo", "epo"),
    ("es", "spa"),
    ("et", "est"),
    ("eu", "eus"),
    ("fa", "fas"),
    ("fi", "fin"),
    ("fo", "fao"),
    ("fr", "fra"),
    ("fy", "fry"),
    ("ga", "gle"),
    ("gd", "gla"),
    ("gl", "glg"),
    ("gu", "guj"),
    ("ha", "hau"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("hy", "hye"),
    ("id", "ind"),
    ("ig", "ibo"),
    ("is", "isl"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("jv", "jav"),
    ("ka", "kat"),
    ("kk", "kaz"),
    ("km", "khm"),
    ("kn", "kan"),
    ("ko", "kor"),
    ("ku", "kur"),
    ("ky", "kir"),
    ("la", "lat"),
    ("lb", "ltz"),
    ("lo", "lao"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("mg", "mlg"),
    ("mi", "mri"),
    ("mk", "mkd"),
    ("ml", "mal"),
    ("mn", "mon"),
    ("mr", "mar"),
    ("ms", "msa"),
    ("mt", "mlt"),
    ("my", "mya"),
    ("nb", "nob"),
    ("ne", "nep"),
    ("nl", "nld"),
    ("nn", "nno"),
    ("no", "nor"),
    ("pa", "pan"),
    ("pl", "pol"),
    ("ps", "pus"),
    ("pt", "por"),
    ("qu", "que"),
    ("rm", "roh"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("sa", "san"),
    ("sd", "snd"),
    ("si", "sin"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("so", "som"),
    ("sq", "sqi"),
    ("sr", "srp"),
    ("su", "sun"),
    ("sv", "swe"),
    ("sw", "swa"),
    ("ta", "tam"),
    ("te", "tel"),
    ("tg", "tgk"),
    ("th", "tha"),
    ("tk", "tuk"),
    ("tl", "tgl"),
    ("tr", "tur"),
    ("tt", "tat"),
    ("ug", "uig"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("uz", "uzb"),
    ("vi", "vie"),
    ("xh", "xho"),
    ("yi", "yid"),
    ("yo", "yor"),
    ("zh", "zho"),
    ("zu", "zul"),
];

/// Bibliographic codes that differ from the terminological ones; old writers use them.
const BIBLIOGRAPHIC: &[(&str, &str)] = &[
    ("alb", "sq"),
    ("arm", "hy"),
    ("baq", "eu"),
    ("bur", "my"),
    ("chi", "zh"),
    ("cze", "cs"),
    ("dut", "nl"),
    ("fre", "fr"),
    ("geo", "ka"),
    ("ger", "de"),
    ("gre", "el"),
    ("ice", "is"),
    ("mac", "mk"),
    ("mao", "mi"),
    ("may", "ms"),
    ("per", "fa"),
    ("rum", "ro"),
    ("slo", "sk"),
    ("wel", "cy"),
];

/// The BCP 47 tag of a three-letter code; `None` for "undetermined" and what is no code.
pub(crate) fn tag(code: &str) -> Option<String> {
    if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_lowercase()) || matches!(code, "und" | "mis") {
        return None;
    }
    let bibliographic = BIBLIOGRAPHIC.iter().find(|(long, _)| *long == code).map(|(_, short)| *short);
    let short =
        bibliographic.or_else(|| SHORT.iter().find(|(_, long)| *long == code).map(|(short, _)| *short));
    Some(short.unwrap_or(code).to_owned())
}

/// The tag with the shortest code of its language, as BCP 47 wants it: `pt-BR` for `por-BR` ([RFC 5646,
/// 2.2.1](https://www.rfc-editor.org/rfc/rfc5646#section-2.2.1)). What is no code stays as it is.
#[must_use]
pub fn shortest(language: &str) -> String {
    let (code, rest) = language.split_at(language.find('-').unwrap_or(language.len()));
    let code = code.to_ascii_lowercase();
    tag(&code).unwrap_or(code) + rest
}

/// The three-letter code of a BCP 47 tag; `None` where it has none.
#[must_use]
pub fn long(tag: &str) -> Option<String> {
    let primary = tag.split('-').next().unwrap_or("und").to_ascii_lowercase();
    let long = SHORT.iter().find(|(short, _)| *short == primary).map_or(primary.as_str(), |(_, long)| *long);
    (long.len() == 3 && long.bytes().all(|b| b.is_ascii_lowercase())).then(|| long.to_owned())
}

/// Three letters of 5 bits each, as `mdhd` holds them (ISO/IEC 14496-12, 8.4.2.3).
pub(crate) fn packed(tag: &str) -> u16 {
    long(tag).as_deref().unwrap_or("und").bytes().fold(0, |n, b| n.wrapping_shl(5) | u16::from(b & 0x1F))
}

/// The tag of packed letters; `None` for "undetermined" and for Macintosh language codes.
pub(crate) fn unpacked(packed: u16) -> Option<String> {
    let letter = |shift: u32| {
        let bits = u8::try_from(packed.wrapping_shr(shift) & 0x1F).unwrap_or(0);
        char::from(bits.saturating_add(0x60))
    };
    tag(&String::from_iter([letter(10), letter(5), letter(0)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_standards() {
        // 0x55C4 is "und" and 0x15C7 "eng" in every MP4 file that has ever been looked at.
        assert_eq!(packed("und"), 0x55C4);
        assert_eq!(packed("en-US"), 0x15C7);
        assert_eq!(unpacked(0x15C7).as_deref(), Some("en"));
        assert_eq!(unpacked(0x55C4), None);
        assert_eq!(unpacked(0), None);
        assert_eq!(tag("ger").as_deref(), Some("de"));
        assert_eq!(tag("ast").as_deref(), Some("ast"));
    }
}
