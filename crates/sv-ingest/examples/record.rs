//! Records every stream that somebody sends: `record FOLDER [RTMP_ADDRESS]`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use sv_ingest::gateway::{Gateway, Notice, Open, Settings};
use sv_ingest::record::{self, Recorder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("record FOLDER [RTMP_ADDRESS]")?;
    let address = args.next().unwrap_or_else(|| "127.0.0.1:1935".into()).parse()?;
    let mut settings = Settings::new(Open);
    let (say, started) = channel();
    settings.notice = Arc::new(move |notice| {
        if let Notice::Started { stream, .. } = notice {
            // Nobody listens once the program ends.
            let _ = say.send(stream);
        }
    });
    let gateway = Gateway::start(settings)?;
    println!("send to rtmp://{}/live/NAME", gateway.rtmp(address)?);
    let settings = record::Settings::new(folder);
    let mut recorders: HashMap<String, Recorder> = HashMap::new();
    for stream in started {
        recorders.retain(|_, recorder| !recorder.is_over());
        if !recorders.contains_key(&stream) {
            let told = |progress| println!("{progress:?}");
            recorders.insert(stream.clone(), Recorder::start(gateway.hub(), &stream, &settings, told)?);
        }
    }
    Ok(())
}
