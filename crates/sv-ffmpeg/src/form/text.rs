//! Subtitles as WebVTT cue text ([WebVTT](https://www.w3.org/TR/webvtt1/), 4.2.1).

/// SubRip: the same text with HTML-like tags, of which WebVTT knows `b`, `i` and `u`.
pub(crate) fn subrip(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let mut out = String::with_capacity(text.len());
    let mut rest = &text[..];
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let tag = rest.find('>').filter(|_| rest.starts_with('<')).map(|end| &rest[..=end]);
        match tag {
            Some(tag) if matches!(tag, "<b>" | "</b>" | "<i>" | "</i>" | "<u>" | "</u>") => {
                out.push_str(tag);
                rest = &rest[tag.len()..];
            }
            Some(tag) if tag.starts_with("<font") || tag.starts_with("</font") => rest = &rest[tag.len()..],
            _ => {
                out.push_str(if rest.starts_with('&') { "&amp;" } else { "&lt;" });
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    one_block(&out)
}

/// QuickTime text: a length of two bytes, then UTF-8, then styles that are left out.
pub(crate) fn mov_text(data: &[u8]) -> String {
    let [a, b, rest @ ..] = data else { return String::new() };
    let len = usize::from(u16::from_be_bytes([*a, *b])).min(rest.len());
    one_block(&escape(&String::from_utf8_lossy(&rest[..len])))
}

/// Advanced SubStation Alpha as Matroska stores it: the text is the ninth field.
pub(crate) fn ass(data: &[u8]) -> String {
    let line = String::from_utf8_lossy(data);
    let Some(text) = line.splitn(9, ',').nth(8) else { return String::new() };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(end) = rest.find('}').filter(|_| rest.starts_with('{')) {
            rest = &rest[end + 1..];
        } else if rest.starts_with("\\N") || rest.starts_with("\\n") {
            out.push('\n');
            rest = &rest[2..];
        } else if rest.starts_with("\\h") {
            out.push('\u{a0}');
            rest = &rest[2..];
        } else {
            out.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    one_block(&escape(&out))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A blank line would end the cue, and an arrow would start another.
fn one_block(text: &str) -> String {
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n").replace("-->", "--&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_cues() {
        assert_eq!(
            subrip(b"<i>A & B</i>\r\n\r\n<font color=red>1 < 2</font> -->"),
            "<i>A &amp; B</i>\n1 &lt; 2 --&gt;"
        );
        assert_eq!(mov_text(b"\0\x04a<b\nstyl"), "a&lt;b");
        assert_eq!(ass(br"0,0,Default,,0,0,0,,{\an8}One,\Ntwo"), "One,\ntwo");
        assert_eq!(ass(b"broken"), "");
    }
}
