//! Where somebody is who is called, as a URL says it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{Bandwidth, KeyLength, Mode, Passphrase, Settings, StreamId};
use crate::{Error, Result};

/// `srt://HOST:PORT?streamid=…&passphrase=…&latency=…&mode=…&pbkeylen=…`: the stream id and the passphrase may be secrets, and
/// nothing prints them.
///
/// `latency` is in milliseconds, `mode` is `caller` or `rendezvous`, `adapter` is an address of ours, `pbkeylen` is 16, 24 or 32; `inputbw` and `maxbw` are bytes each second, and
/// `oheadbw` is percent, as for [libsrt's programs](https://github.com/Haivision/srt/blob/master/docs/apps/srt-live-transmit.md).
/// Values may be percent-encoded.
#[derive(Clone)]
pub struct Target {
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How both come together.
    pub mode: Mode,
    /// From which of our addresses, if it matters.
    pub local: Option<IpAddr>,
    /// What is said of the stream.
    pub stream: StreamId,
    /// How the connection works.
    pub settings: Settings,
}

fn decoded(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        if *byte == b'%' {
            let (digits, more) = rest.split_first_chunk::<2>()?;
            out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = more;
        } else {
            out.push(*byte);
        }
    }
    String::from_utf8(out).ok()
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] where it is no such URL. The error doesn't repeat it.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |problem| Error::InvalidInput { what: "the URL of a peer of SRT".into(), problem };
        let rest = url.strip_prefix("srt://").ok_or(wrong("it must begin with srt://"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, port) =
            place.trim_end_matches('/').rsplit_once(':').ok_or(wrong("it must name a port"))?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(wrong("its port is no number"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong("it must name a host"));
        }
        let (mut settings, mut mode, mut stream) = (Settings::default(), Mode::Caller, StreamId::default());
        let mut local = None;
        let (mut input, mut overhead) = (None, 25);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(wrong("a part of its query has no value"))?;
            let value = decoded(value).ok_or(wrong("a value is encoded wrongly"))?;
            let number = || value.parse::<u64>().map_err(|_| wrong("a value is no number"));
            match name {
                "streamid" => stream = StreamId::new(value),
                "passphrase" => settings.passphrase = Some(Passphrase::new(&value)?),
                "latency" | "rcvlatency" | "peerlatency" => {
                    let millis = u16::try_from(number()?).map_err(|_| wrong("its latency is too long"))?;
                    settings.latency = Duration::from_millis(millis.into());
                }
                "adapter" | "localaddr" => {
                    local = Some(value.parse().map_err(|_| wrong("its adapter is no address"))?);
                }
                "mode" => {
                    mode = match &*value {
                        "caller" | "client" => Mode::Caller,
                        "rendezvous" => Mode::Rendezvous,
                        _ => return Err(wrong("its mode is neither caller nor rendezvous")),
                    }
                }
                "pbkeylen" => {
                    settings.key_length = match number()? {
                        0 | 16 => KeyLength::Aes128,
                        24 => KeyLength::Aes192,
                        32 => KeyLength::Aes256,
                        _ => return Err(wrong("its pbkeylen is neither 16 nor 24 nor 32")),
                    }
                }
                "maxbw" => settings.bandwidth = Bandwidth::Most(number()?.max(1)),
                "inputbw" => input = Some(Some(number()?).filter(|rate| *rate > 0)),
                "oheadbw" => {
                    overhead = u8::try_from(number()?).map_err(|_| wrong("its oheadbw is no percentage"))?;
                }
                // Options of other programs change nothing here.
                _ => {}
            }
        }
        if let Some(bytes) = input {
            settings.bandwidth = Bandwidth::Input { bytes, overhead };
        }
        Ok(Self { host: host.to_owned(), port, mode, local, stream, settings })
    }
}

impl fmt::Display for Target {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "srt://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "srt://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_secrets_not_printed() {
        let url = "srt://example.com:9000?streamid=%23!::r=secret1,m=publish&passphrase=secret%2d234&latency=250&\
                   mode=rendezvous&pbkeylen=32&inputbw=0&oheadbw=30";
        let target = Target::parse(url).unwrap();
        assert_eq!(target.stream.expose(), "#!::r=secret1,m=publish");
        assert_eq!(target.settings.passphrase, Some(Passphrase::new("secret-234").unwrap()));
        assert_eq!((target.mode, target.settings.latency.as_millis()), (Mode::Rendezvous, 250));
        assert_eq!(target.settings.key_length, KeyLength::Aes256);
        assert_eq!(target.settings.bandwidth, Bandwidth::Input { bytes: None, overhead: 30 });
        assert_eq!(format!("{target:?}"), "srt://example.com:9000");
        assert_eq!(Target::parse("srt://[::1]:1").unwrap().to_string(), "srt://[::1]:1");
        for wrong in [
            "rtmp://secret:1",
            "srt://secret",
            "srt://secret:x",
            "srt://:9",
            "srt://a:9?passphrase=secret",
            "srt://a:9?mode=secret",
            "srt://a:9?streamid=secret%",
        ] {
            assert!(!Target::parse(wrong).unwrap_err().to_string().contains("secret"), "{wrong}");
        }
    }
}
