//! `sv origin`.

use std::path::Path;

use streamverse::Error;
use streamverse::core::ErrorKind;
use streamverse::drm::Keys;
use streamverse::origin::{KeyPlace, Origin, Protect, Settings};

use crate::{At, Failure, args, keys};

pub(crate) fn run(args: &args::Origin) -> Result<(), Failure> {
    let mut settings = Settings::default();
    settings.segment = args.segment;
    settings.license_url.clone_from(&args.license_url);
    settings.segment_bytes = args.cache.saturating_mul(1 << 20);
    settings.table_bytes = args.tables.saturating_mul(1 << 20);
    settings.requests = args.requests;
    settings.protect = protect(args).map_err(Failure::at(At::Keys))?;
    if args.titles.is_empty() && args.library.is_none() {
        let message = "name a file or a folder to serve, or a folder of titles by --library";
        return Err(Failure::at(At::Input)(Error::new(ErrorKind::InvalidInput, message)));
    }
    let mut origin = Origin::new(settings);
    for path in &args.titles {
        origin.add(&name(path), path).map_err(Failure::at(At::Input))?;
    }
    if let Some(library) = &args.library {
        origin.library(library).map_err(Failure::at(At::Input))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::from)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(|e| {
            let message = format!("{} can't be listened on: {e}; choose another by --listen", args.listen);
            Failure::at(At::Output)(Error::new(ErrorKind::of_io(&e), message))
        })?;
        let at = listener.local_addr().map_err(Error::from)?;
        for path in &args.titles {
            println!("{0}: http://{at}/{0}/hls.m3u8, ts.m3u8, dash.mpd", name(path));
        }
        println!("serving on http://{at}/");
        let end = async {
            let _ = tokio::signal::ctrl_c().await;
        };
        axum::serve(listener, origin.router()).with_graceful_shutdown(end).await.map_err(Error::from)?;
        Ok(())
    })
}

/// A file without its ending; a folder as it is called.
fn name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

fn protect(args: &args::Origin) -> Result<Option<Protect>, Error> {
    if args.encrypt.is_empty() {
        let idle = [
            ("--keys", args.keys.is_some()),
            ("--clear-lead", args.clear_lead.is_some()),
            ("--crypto-period", args.crypto_period.is_some()),
        ];
        return match idle.iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                let message = format!("{name} is of no use without --encrypt, such as --encrypt cbcs");
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
            None => Ok(None),
        };
    }
    let place = match &args.keys {
        Some(path) if path.is_dir() => KeyPlace::Folder(path.clone()),
        path => KeyPlace::One(Keys::parse(&keys::text(path.as_deref())?)?),
    };
    let mut protect = Protect::new(args.encrypt.iter().map(|s| (*s).into()).collect(), place);
    protect.clear_lead = args.clear_lead.unwrap_or_default();
    protect.crypto_period = args.crypto_period;
    protect.key_url.clone_from(&args.key_url);
    protect.pssh = args.pssh.clone().map(|boxes| boxes.0);
    protect.pssh_in_stream = !args.no_pssh;
    Ok(Some(protect))
}
