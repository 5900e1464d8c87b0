//! Stand-in until sv-container's arrives today.
use std::fmt;
use std::time::Duration;
#[derive(Default)]
pub(crate) struct Document {
    pub(crate) cues: Vec<Cue>,
    raw: Option<String>,
}
#[derive(Default)]
pub(crate) struct Cue {
    pub(crate) start: Duration,
    pub(crate) end: Duration,
    pub(crate) text: String,
}
pub(crate) fn parse_any(text: &str) -> Result<Document, sv_container::Error> {
    Ok(Document { cues: vec![], raw: Some(text.to_owned()) })
}
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(raw) = &self.raw {
            return f.write_str(raw);
        }
        let t = |d: Duration| {
            let s = d.as_secs();
            format!("{:02}:{:02}:{:02}.{:03}", s / 3600, s / 60 % 60, s % 60, d.subsec_millis())
        };
        writeln!(f, "WEBVTT")?;
        for c in &self.cues {
            writeln!(f, "\n{} --> {}\n{}", t(c.start), t(c.end), c.text)?;
        }
        Ok(())
    }
}
