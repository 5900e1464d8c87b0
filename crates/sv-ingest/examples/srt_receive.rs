//! Takes one stream of SRT and writes what comes to standard output, as srt-live-transmit does:
//! `srt_receive ADDRESS [PASSPHRASE_FILE]`. The engine alone, without a gateway, on a socket of the standard library.

use std::io::Write as _;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use sv_ingest::srt::{Heard, Listener, Passphrase, Session, Settings};

fn random() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the system has random numbers");
    seed
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let socket = UdpSocket::bind(args.next().unwrap_or_else(|| "127.0.0.1:9000".into()))?;
    let mut settings = Settings::default();
    if let Some(path) = args.next() {
        settings.passphrase = Some(Passphrase::new(std::fs::read_to_string(path)?.trim_end())?);
    }
    if let Ok(millis) = std::env::var("LATENCY") {
        settings.latency = Duration::from_millis(millis.parse()?);
    }
    let (listener, born, mut buffer) = (Listener::new(random()), Instant::now(), [0; 2048]);
    let mut session: Option<(Box<Session>, std::net::SocketAddr)> = None;
    let mut out = std::io::stdout().lock();
    loop {
        let due = session.as_ref().and_then(|(s, _)| s.deadline());
        let wait = due.map_or(Duration::from_secs(1), |at| at.saturating_sub(born.elapsed()));
        socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let came = socket.recv_from(&mut buffer);
        let now = born.elapsed();
        if let Ok((count, from)) = came {
            match (listener.receive(&buffer[..count], from, now), &mut session) {
                (Heard::Reply(reply), None) => drop(socket.send_to(&reply, from)?),
                (Heard::Knock(knock), None) => match knock.accept(&settings, 1, random(), now) {
                    Ok(begun) => session = Some((begun, from)),
                    Err(code) => drop(socket.send_to(&knock.refuse(code, now), from)?),
                },
                (Heard::Session(_) | Heard::Knock(_), Some((session, peer))) if *peer == from => {
                    session.receive(&buffer[..count], now);
                }
                _ => {}
            }
        }
        if let Some((session, peer)) = &mut session {
            session.tick(now);
            while let Some(datagram) = session.outgoing() {
                socket.send_to(&datagram, *peer)?;
            }
            while let Some(payload) = session.delivered() {
                out.write_all(&payload)?;
            }
            if let Some(over) = session.over() {
                out.flush()?;
                eprintln!("{over}: {:?}", session.stats());
                return Ok(());
            }
        }
    }
}
