//! Keys come from a file or the environment, never from the command line.

use std::path::Path;

use streamverse::core::ErrorKind;
use streamverse::{Error, Result, drm, vod};

use crate::args::Protect;

/// What the key file says, or the environment where none is given.
pub(crate) fn text(path: Option<&Path>) -> Result<String> {
    match path {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|e| Error::from(e).context(format!("the key file {}", path.display()))),
        None => std::env::var("SV_KEYS").map_err(|_| {
            Error::new(
                ErrorKind::InvalidInput,
                "--encrypt needs a key: give a file with a line KID:KEY by --keys, or set SV_KEYS",
            )
        }),
    }
}

/// The encryption that the arguments ask for.
pub(crate) fn encryption(protect: &Protect) -> Result<Option<vod::Encryption>> {
    let Some(scheme) = protect.encrypt else {
        let idle = [
            ("--keys", protect.keys.is_some()),
            ("--clear-lead", protect.clear_lead.is_some()),
            ("--crypto-period", protect.crypto_period.is_some()),
            ("--key-url", protect.key_url.is_some()),
            ("--pssh", protect.pssh.is_some()),
            ("--no-pssh", protect.no_pssh),
        ];
        return match idle.iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                let message = format!("{name} is of no use without --encrypt, such as --encrypt cbcs");
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
            None => Ok(None),
        };
    };
    let text = text(protect.keys.as_deref())?;
    let mut encryption = vod::Encryption::new(scheme.into(), drm::Keys::parse(&text)?);
    encryption.clear_lead = protect.clear_lead.unwrap_or_default();
    encryption.crypto_period = protect.crypto_period;
    encryption.key_url.clone_from(&protect.key_url);
    encryption.pssh = protect.pssh.clone().map(|boxes| boxes.0);
    encryption.pssh_in_stream = !protect.no_pssh;
    Ok(Some(encryption))
}

/// Refuses an address with a password that was an argument: a command line is for all users of the machine to see.
#[cfg(any(feature = "nats", feature = "postgres"))]
pub(crate) fn not_on_command_line(url: &str, variable: &str) -> Result<()> {
    // `user:password@`, or `password=` among words; a name alone is nobody's secret.
    let password = url.split_once("://").is_some_and(|(_, rest)| {
        rest.split_once('@').is_some_and(|(user, _)| user.contains(':') || variable == "SV_NATS")
    }) || url.contains("password=");
    if password && std::env::args().any(|arg| arg.contains(url)) {
        let message =
            format!("a password doesn't belong on a command line: put the address into {variable} instead");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}
