//! `sv worker`.

use streamverse::chunks;
use streamverse::core::ErrorKind;
use streamverse::pipeline::{Cancel, nats};
use streamverse::{Error, Result};

use crate::Failure;
use crate::args::{Nats, Worker};

pub(crate) fn run(args: &Worker) -> Result<(), Failure> {
    let Some(options) = options(&args.nats)? else {
        let message = "a worker needs to know where to join: --nats URL, or SV_NATS";
        return Err(Error::new(ErrorKind::InvalidInput, message).into());
    };
    let mut worker = chunks::Worker::new(options, &args.root);
    worker.slots = args.slots.into();
    #[cfg(feature = "s3")]
    worker.store.clone_from(&args.nats.store);
    worker.share = args.share.get();
    if let Some(name) = &args.name {
        worker.name.clone_from(name);
    }
    let cancel = Cancel::default();
    let canceller = cancel.clone();
    let _ = ctrlc::set_handler(move || canceller.cancel());
    eprintln!("{} takes chunks of group {}; Ctrl-C ends it", worker.name, chunks::group());
    Ok(worker.run(&cancel)?)
}

/// What the arguments say, if anything.
pub(crate) fn options(args: &Nats) -> Result<Option<nats::Options>> {
    let Some(url) = &args.nats else { return Ok(None) };
    crate::keys::not_on_command_line(url, "SV_NATS")?;
    let mut options = nats::Options::new(url);
    options.credentials.clone_from(&args.nats_creds);
    options.patience = args.nats_patience;
    Ok(Some(options))
}
