//! Keys come from a file or the environment, never from the command line.

use std::path::Path;

use streamverse::core::ErrorKind;
use streamverse::{Error, Result, drm, vod};

use crate::args::{Output, SchemeName};

/// The encryption that the arguments ask for.
pub(crate) fn encryption(output: &Output) -> Result<Option<vod::Encryption>> {
    read(output.encrypt, output.keys.as_deref())
}

/// Encryption by that scheme, with the keys of a file or the environment.
pub(crate) fn read(scheme: Option<SchemeName>, keys: Option<&Path>) -> Result<Option<vod::Encryption>> {
    let Some(scheme) = scheme else {
        if keys.is_some() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "--keys is of no use without --encrypt cenc or --encrypt cbcs",
            ));
        }
        return Ok(None);
    };
    let text = match keys {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|e| Error::from(e).context(format!("the key file {}", path.display())))?,
        None => std::env::var("SV_KEYS").map_err(|_| {
            Error::new(
                ErrorKind::InvalidInput,
                "--encrypt needs a key: give a file with a line KID:KEY by --keys, or set SV_KEYS",
            )
        })?,
    };
    Ok(Some(vod::Encryption { scheme: scheme.into(), keys: drm::Keys::parse(&text)? }))
}
