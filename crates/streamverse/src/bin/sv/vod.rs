//! `sv vod`.

use std::path::PathBuf;

use streamverse::core::ErrorKind;
use streamverse::cost::Prices;
use streamverse::vod::{self, LadderChoice, Request};

use crate::args::{Budget, Encode, SegmentNames, Vod};
use crate::{At, Failure, keys, progress};

pub(crate) fn run(args: &Vod) -> Result<(), Failure> {
    let mut request = Request::new(&args.input, &args.out);
    encode(&mut request, &args.encode, &args.budget)?;
    request.segment = args.output.segment;
    request.encryption = keys::encryption(&args.output.protect).map_err(Failure::at(At::Keys))?;
    (request.hls, request.dash) = args.output.manifests();
    request.single_file = args.output.single_file;
    request.names_by_time = args.output.names == SegmentNames::Time;
    request.trick_play = args.output.trick_play();
    request.form = args.output.format.into();
    request.ad_cues.clone_from(&args.output.ad_cues);
    request.interstitials.clone_from(&args.output.interstitial);
    request.workers = args.workers.map(streamverse::chunks::Workers::Here);
    #[cfg(feature = "nats")]
    if let (Some(options), None) = (crate::worker::options(&args.nats)?, args.workers) {
        request.workers = Some(streamverse::chunks::Workers::Nats(options));
        #[cfg(feature = "s3")]
        request.store.clone_from(&args.nats.store);
    }
    #[cfg(feature = "postgres")]
    if let Some(url) = &args.journal {
        keys::not_on_command_line(url, "SV_JOURNAL")?;
        let mut database = streamverse::pipeline::queue::Database::new(url);
        database.name = "sv_vod".into();
        request.journal = streamverse::chunks::Journal::Database(database);
    }
    request.chunk = args.chunk;
    request.share = args.share.get();
    request.strict = args.strict;
    request.captions = args.captions.into();
    request.cues = !args.no_cues;
    request.drop_alpha = args.drop_alpha;
    request.audio_codec = args.audio_codec.map(Into::into);
    request.keep_audio = args.keep_audio.iter().map(|c| (*c).into()).collect();
    request.loudness = args.loudness.map(streamverse::transcode::loudness::Target::new);
    request.license_url = args.output.license_url.clone();
    request.thumbnails.clone_from(&args.output.thumbnails);
    request.steering = args.output.ways.steering()?;
    let (handle, driver) = vod::start(request)?;
    let result = drive(handle, args.output.json, || driver.run());
    if let Err(error) = &result
        && error.kind() != ErrorKind::AlreadyExists
        && !args.keep_partial
    {
        vod::discard(&args.out)?;
    }
    let report = result?;
    if let Some(receipt) = report.receipt.filter(|_| !args.output.json) {
        println!("{receipt}");
    }
    Ok(())
}

/// The part of a request that says how to encode.
pub(crate) fn encode(request: &mut Request, args: &Encode, budget: &Budget) -> Result<(), Failure> {
    request.ladder = match args.ladder.as_str() {
        "auto" => LadderChoice::Auto,
        "fixed" => LadderChoice::Fixed,
        "title" => LadderChoice::Title(budget.get()),
        file => LadderChoice::File(PathBuf::from(file)),
    };
    request.codecs = args.codec.iter().map(|c| (*c).into()).collect();
    request.preset = args.preset.into();
    request.encoder.clone_from(&args.encoder);
    request.device.clone_from(&args.device);
    request.decoder = args.decode.into();
    request.crop = args.crop;
    request.film_grain = args.film_grain.unwrap_or_default();
    request.prices = args.prices.as_deref().map(Prices::read).transpose()?;
    Ok(())
}

/// Shows events while `work` runs, and lets Ctrl-C cancel it.
pub(crate) fn drive<T: Send>(
    mut handle: vod::Handle,
    json: bool,
    work: impl FnOnce() -> streamverse::Result<T> + Send,
) -> streamverse::Result<T> {
    let events = handle.events();
    // The second Ctrl-C finds the default action again only if the handler can't be set at all.
    let canceller = handle.canceller();
    let _ = ctrlc::set_handler(move || canceller.cancel());
    std::thread::scope(|scope| {
        let shown = scope.spawn(move || progress::show(events, json));
        let result = work();
        let _ = shown.join();
        drop(handle);
        result
    })
}
