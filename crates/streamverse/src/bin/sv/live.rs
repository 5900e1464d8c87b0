//! `sv live`.

use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use streamverse::core::ErrorKind;
use streamverse::live::{self, Request};
use streamverse::package::live::Window;
use streamverse::{Error, Pick};

use crate::args::{Captions, Harvest, Live, Shape, factors};
use crate::{At, Failure, keys, say, vod};

pub(crate) const PLAYER: &str = include_str!("player.html");

pub(crate) fn run(args: &Live) -> Result<(), Failure> {
    let mut request = shaped(&args.shape)?;
    request.inputs.clone_from(&args.input);
    request.output.clone_from(&args.out);
    request.looping = args.looping;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::from)?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(args.listen)).map_err(|e| {
        let message = format!("{} can't be listened on: {e}; choose another by --listen", args.listen);
        Failure::at(At::Output)(Error::new(ErrorKind::of_io(&e), message))
    })?;
    let at = listener.local_addr().map_err(Error::from)?;
    let (handle, origin, driver) = live::start(request)?;
    say(format_args!("live on http://{at}/ (master.m3u8, manifest.mpd)"));
    let router = Router::new().route("/", get(|| async { Html(PLAYER) })).fallback_service(origin.router());
    let server = runtime.spawn(axum::serve(listener, router).into_future());
    vod::drive(handle, args.json, || driver.run())?;
    if args.serve {
        say("the stream has ended; what is left of it is served until Ctrl-C");
        let _ = runtime.block_on(tokio::signal::ctrl_c());
    }
    server.abort();
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(())
}

/// A request of nothing yet, of that shape.
pub(crate) fn shaped(args: &Shape) -> Result<Request, Failure> {
    let mut request = Request::new(Vec::<Pick>::new(), "");
    request.segment = args.segment;
    request.part = (!args.part.is_zero()).then_some(args.part);
    request.window = if args.event { Window::Event } else { Window::Sliding(args.window) };
    request.keep = args.keep;
    request.encryption = keys::encryption(&args.protect).map_err(Failure::at(At::Keys))?;
    request.cues = !args.no_cues;
    request.emsg = args.emsg;
    request.interstitial.clone_from(&args.interstitial);
    request.extract_captions = args.captions == Captions::Extract;
    request.channels.clone_from(&args.channels);
    request.text = args.text.map(Into::into);
    request.trick_play = factors(&args.trick_play);
    request.steering = args.ways.steering()?;
    request.license_url.clone_from(&args.license_url);
    Ok(request)
}

pub(crate) fn harvest(args: &Harvest) -> Result<(), Failure> {
    let manifests = live::harvest(&args.live, &args.out, args.from, args.to)?;
    println!("done: {}", manifests.join(", "));
    Ok(())
}
