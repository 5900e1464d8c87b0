//! What to take of a file, and what to say of it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use sv_core::{Codec, ErrorKind, Track, TrackKind};
use sv_package::Role;

use crate::{Error, Result};

/// A file to package, as it is or with something said otherwise.
///
/// As text it is a path, or a descriptor as shaka-packager has them, which begins with `in=`:
/// `in=film.mp4,stream=audio,language=de,roles=dub;main,label=Deutsch,default=yes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pick {
    /// The file.
    pub path: PathBuf,
    /// Tracks of this kind alone.
    pub kind: Option<TrackKind>,
    /// The n-th of these alone, from 0.
    pub number: Option<usize>,
    /// BCP 47, instead of what the file says.
    pub language: Option<String>,
    /// A name for people, instead of what the file says.
    pub label: Option<String>,
    /// What it is for.
    pub roles: Vec<Role>,
    /// Whether players choose it when nobody has said otherwise.
    pub default: Option<bool>,
    /// Bits per second that manifests give as its peak, instead of what is measured.
    pub bandwidth: Option<u64>,
    /// What text is written as, [`Codec::WebVtt`] or [`Codec::Ttml`], if not what it comes as.
    pub format: Option<Codec>,
}

impl From<PathBuf> for Pick {
    fn from(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }
}

impl From<&Path> for Pick {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl FromStr for Pick {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |message: String| Error::new(ErrorKind::InvalidInput, message);
        if !text.starts_with("in=") {
            return Ok(PathBuf::from(text).into());
        }
        let mut pick = Self::default();
        for part in text.split(',') {
            let Some((name, value)) = part.split_once('=') else {
                return Err(wrong(format!(
                    "{part:?} in an input's descriptor has no value; write NAME=VALUE"
                )));
            };
            match (name, value) {
                ("in", path) => pick.path = path.into(),
                ("stream", "video") => pick.kind = Some(TrackKind::Video),
                ("stream", "audio") => pick.kind = Some(TrackKind::Audio),
                ("stream", "text") => pick.kind = Some(TrackKind::Text),
                ("stream", number) => {
                    let number = number.parse();
                    pick.number =
                        Some(number.map_err(|_| wrong("stream is video, audio, text or a number".into()))?);
                }
                ("language" | "lang", tag) => pick.language = Some(language(tag).map_err(wrong)?),
                ("label" | "hls_name", label) => pick.label = Some(label.into()),
                ("roles" | "dash_roles", roles) => {
                    let role = |value: &str| {
                        let all = || Role::ALL.map(Role::value).join(", ");
                        Role::from_value(value)
                            .ok_or_else(|| wrong(format!("{value:?} is no role; one of {}", all())))
                    };
                    pick.roles = roles.split(';').map(role).collect::<Result<_>>()?;
                }
                ("default", "yes") => pick.default = Some(true),
                ("default", "no") => pick.default = Some(false),
                ("default", _) => return Err(wrong("default is yes or no".into())),
                ("bandwidth", bits) => {
                    let bits = bits.parse().ok().filter(|bits| *bits > 0);
                    pick.bandwidth = Some(bits.ok_or_else(|| wrong("bandwidth is bits per second".into()))?);
                }
                ("format", "vtt" | "webvtt") => pick.format = Some(Codec::WebVtt),
                ("format", "ttml") => pick.format = Some(Codec::Ttml),
                ("format", _) => return Err(wrong("format is vtt or ttml".into())),
                (name, _) => {
                    let known = "in, stream, language, label, roles, default, bandwidth, format";
                    return Err(wrong(format!(
                        "nothing is called {name:?} in an input's descriptor; there are {known}"
                    )));
                }
            }
        }
        if pick.path.as_os_str().is_empty() {
            return Err(wrong("an input's descriptor begins with in=FILE".into()));
        }
        Ok(pick)
    }
}

/// A tag of a language as it may stand in manifests.
pub(crate) fn language(tag: &str) -> Result<String, String> {
    let fits = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let first = tag.split('-').next().is_some_and(|part| (2..=3).contains(&part.len()));
    if first && tag.split('-').all(fits) {
        return Ok(sv_container::language::shortest(tag));
    }
    Err(format!("{tag:?} is no language; write a tag of BCP 47, such as de or pt-BR"))
}

impl Pick {
    /// Whether it takes the n-th of a file's tracks.
    pub(crate) fn takes(&self, number: usize, track: &Track) -> bool {
        self.kind.is_none_or(|kind| kind == track.kind()) && self.number.is_none_or(|only| only == number)
    }

    /// The track as it is told to the world.
    pub(crate) fn told(&self, track: &Arc<Track>) -> Arc<Track> {
        if self.language.is_none() && self.label.is_none() && self.default.is_none() {
            return Arc::clone(track);
        }
        let mut told = Track::clone(track);
        told.language = self.language.clone().or(told.language);
        told.label = self.label.clone().or(told.label);
        told.default = self.default.unwrap_or(told.default);
        Arc::new(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors() {
        assert_eq!("a=b,c.mp4".parse::<Pick>().unwrap().path, Path::new("a=b,c.mp4"));
        let pick: Pick =
            "in=film.mp4,stream=audio,lang=por-BR,roles=dub;main,label=Português,default=no".parse().unwrap();
        assert_eq!(pick.path, Path::new("film.mp4"));
        assert_eq!((pick.kind, pick.language.as_deref()), (Some(TrackKind::Audio), Some("pt-BR")));
        assert_eq!((pick.roles.as_slice(), pick.default), (&[Role::Dub, Role::Main][..], Some(false)));
        for wrong in [
            "in=",
            "in=a,stream=x",
            "in=a,lang=\"",
            "in=a,roles=main;boss",
            "in=a,what=1",
            "in=a,b",
            "in=a,default=1",
            "in=a,bandwidth=0",
            "in=a,bandwidth=1M",
        ] {
            assert!(wrong.parse::<Pick>().is_err(), "{wrong}");
        }
    }
}
