//! `sv package`.

use streamverse::package_files::{self, Request};

use crate::args::Package;
use crate::{At, Failure, keys, vod};

pub(crate) fn run(args: &Package) -> Result<(), Failure> {
    let mut request = Request::new(args.input.clone(), &args.out);
    request.segment = args.output.segment;
    request.encryption = keys::encryption(&args.output.protect).map_err(Failure::at(At::Keys))?;
    (request.hls, request.dash) = args.output.manifests();
    request.event = args.playlist == crate::args::Playlist::Event;
    request.single_file = args.output.single_file;
    request.names_by_time = args.output.names == crate::args::SegmentNames::Time;
    request.trick_play = args.output.trick_play();
    request.form = args.output.format.into();
    request.extract_captions = args.captions == crate::args::Captions::Extract;
    request.text = args.text.map(Into::into);
    request.ad_cues.clone_from(&args.output.ad_cues);
    request.interstitials.clone_from(&args.output.interstitial);
    request.cues = !args.no_cues;
    request.emsg = args.emsg;
    request.license_url = args.output.license_url.clone();
    request.thumbnails.clone_from(&args.output.thumbnails);
    request.steering = args.output.ways.steering()?;
    let (handle, driver) = package_files::start(request)?;
    vod::drive(handle, args.output.json, || driver.run())?;
    Ok(())
}
