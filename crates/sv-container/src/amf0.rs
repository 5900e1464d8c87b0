//! The values that Flash's programs exchange: what RTMP's commands and FLV's script tags are written in
//! ([Action Message Format, AMF 0](https://rtmp.veriskope.com/pdf/amf0-file-format-specification.pdf)).

use bytes::{BufMut as _, BytesMut};
use sv_codec::{Error, Reader, Result};

/// Deepest nesting that is read.
const DEPTH: usize = 8;
const WHAT: &str = "an AMF value";

/// One value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A number; there are no others.
    Number(f64),
    /// Yes or no.
    Boolean(bool),
    /// Text. Bytes that are no UTF-8 are read as replacement characters.
    String(String),
    /// Named values, in their order: an object, a typed object or an associative array.
    Object(Vec<(String, Value)>),
    /// Nothing.
    Null,
    /// Not even nothing.
    Undefined,
    /// Values by number.
    Array(Vec<Value>),
    /// Milliseconds since 1970.
    Date(f64),
}

impl Value {
    /// Text.
    #[must_use]
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// An object of these.
    #[must_use]
    pub fn object<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The text, if it is some.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// What an object calls `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(pairs) => pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is cut short, nested deeper than eight times, or of a kind that nobody sends (references, clips, sets of records).
    pub fn read(r: &mut Reader<'_>) -> Result<Self> {
        read(r, 0)
    }

    /// Reads all that there are.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_all(bytes: &[u8]) -> Result<Vec<Self>> {
        let mut r = Reader::new(WHAT, bytes);
        let mut out = Vec::new();
        while !r.is_empty() {
            out.push(read(&mut r, 0)?);
        }
        Ok(out)
    }

    /// Writes it. Text longer than 4 GiB is cut.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Number(number) => {
                out.put_u8(0);
                out.put_f64(*number);
            }
            Self::Boolean(yes) => out.put_slice(&[1, u8::from(*yes)]),
            Self::String(text) => {
                let text = text.as_bytes();
                if let Ok(len) = u16::try_from(text.len()) {
                    out.put_u8(2);
                    out.put_u16(len);
                    out.put_slice(text);
                } else {
                    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
                    out.put_u8(12);
                    out.put_u32(len);
                    out.put_slice(text.get(..usize::try_from(len).unwrap_or(usize::MAX)).unwrap_or(text));
                }
            }
            Self::Object(pairs) => {
                out.put_u8(3);
                for (name, value) in pairs {
                    put_name(name, out);
                    value.write(out);
                }
                out.put_slice(&[0, 0, 9]);
            }
            Self::Null => out.put_u8(5),
            Self::Undefined => out.put_u8(6),
            Self::Array(values) => {
                out.put_u8(10);
                out.put_u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
                values.iter().for_each(|value| value.write(out));
            }
            Self::Date(millis) => {
                out.put_u8(11);
                out.put_f64(*millis);
                out.put_u16(0);
            }
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// Names are cut where their length would not fit.
fn put_name(name: &str, out: &mut BytesMut) {
    let name = name.as_bytes();
    let len = u16::try_from(name.len()).unwrap_or(u16::MAX);
    out.put_u16(len);
    out.put_slice(name.get(..usize::from(len)).unwrap_or(name));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn short(r: &mut Reader<'_>) -> Result<String> {
    let len = usize::from(r.u16()?);
    r.take(len).map(text)
}

fn pairs(r: &mut Reader<'_>, depth: usize) -> Result<Value> {
    let mut out = Vec::new();
    loop {
        let name = short(r)?;
        if name.is_empty() && r.rest().first() == Some(&9) {
            r.skip(1)?;
            return Ok(Value::Object(out));
        }
        out.push((name, read(r, depth)?));
    }
}

fn read(r: &mut Reader<'_>, depth: usize) -> Result<Value> {
    if depth > DEPTH {
        return Err(Error::Invalid { what: WHAT, problem: "it is nested too deeply", offset: r.pos() });
    }
    let below = depth.saturating_add(1);
    let number = |r: &mut Reader<'_>| r.u64().map(f64::from_bits);
    Ok(match r.u8()? {
        0 => Value::Number(number(r)?),
        1 => Value::Boolean(r.u8()? != 0),
        2 => Value::String(short(r)?),
        3 => pairs(r, below)?,
        5 => Value::Null,
        // 13 stands for what its sender could not write.
        6 | 13 => Value::Undefined,
        // How many there are is only a hint.
        8 => {
            r.skip(4)?;
            pairs(r, below)?
        }
        10 => {
            let count = r.u32()?;
            let mut out = Vec::new();
            for _ in 0..count {
                out.push(read(r, below)?);
            }
            Value::Array(out)
        }
        11 => {
            let millis = number(r)?;
            r.skip(2)?;
            Value::Date(millis)
        }
        // A document of XML is as good as text.
        12 | 15 => {
            let len = usize::try_from(r.u32()?).unwrap_or(usize::MAX);
            Value::String(r.take(len).map(text)?)
        }
        16 => {
            short(r)?;
            pairs(r, below)?
        }
        _ => return Err(Error::Unsupported { what: WHAT, feature: "a type that is not of AMF 0" }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_writes_any_more_is_read() {
        // Unsupported (2.15) and an XML document (2.17).
        let all = Value::read_all(b"\x0D\x0F\0\0\0\x04<a/>").unwrap();
        assert_eq!(all, [Value::Undefined, Value::string("<a/>")]);
        // A reference (2.9) is none of a value that we keep.
        assert!(Value::read_all(&[7, 0, 0]).is_err());
    }
}
