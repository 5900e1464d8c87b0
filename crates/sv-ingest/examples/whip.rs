//! Takes streams by WHIP and says what comes: `cargo run -p sv-ingest --example whip --features whip`, then
//! `ffmpeg -re -i FILE -c:v libx264 -bf 0 -c:a libopus -f whip http://127.0.0.1:8189/studio`.
//!
//! The HTTP server here is the smallest that does it, for one machine alone; `streamverse` has a whole one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;

use sv_ingest::gateway::{Gateway, Grant, Open, Settings, Whip, WhipSettings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = Settings::new(Open);
    settings.notice = Arc::new(|notice| println!("{notice:?}"));
    let gateway = Gateway::start(settings)?;
    let whip = gateway.whip(WhipSettings::new("127.0.0.1:0".parse()?))?;
    for stream in TcpListener::bind("127.0.0.1:8189")?.incoming() {
        if let Err(error) = stream.and_then(|stream| answer(&stream, &whip)) {
            println!("{error}");
        }
    }
    Ok(())
}

fn answer(stream: &TcpStream, whip: &Whip) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let response = if request.starts_with("POST ") {
        let mut offer = String::new();
        reader.take(length).read_to_string(&mut offer)?;
        let (say, hear) = channel();
        whip.open(offer, Grant::new(path), stream.peer_addr()?, move |opened| drop(say.send(opened)));
        match hear.recv() {
            Ok(Ok(opened)) => format!(
                "201 Created\r\nContent-Type: application/sdp\r\nLocation: /{}\r\nContent-Length: {}\r\n\r\n{}",
                opened.session,
                opened.answer.len(),
                opened.answer
            ),
            trouble => {
                println!("{trouble:?}");
                "422 Unprocessable Entity\r\nContent-Length: 0\r\n\r\n".into()
            }
        }
    } else {
        whip.close(&path, |_| {});
        "200 OK\r\nContent-Length: 0\r\n\r\n".into()
    };
    write!(&mut &*stream, "HTTP/1.1 {response}")
}
