//! Many who send by SRT on one thread: `srt_load ADDRESS SENDERS SECONDS MBIT FILM.ts [PASSPHRASE_FILE]`.
//!
//! Each sends the film again and again in datagrams of seven packets, so many Mbit each second, as `s0`, `s1`, … behind PREFIX of
//! the environment, from a socket of its own.
//! It prints, as JSON, how many are alive at the end, how many failed, how many datagrams were sent, how many of them again, and by
//! how much the one that was latest was late.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use sv_ingest::srt::{Caller, Mode, Passphrase, Session, Settings, StreamId};

/// What a datagram holds.
const DATAGRAM: usize = 1316;
/// How often each is looked at: as often as FFmpeg would send.
const TICK: Duration = Duration::from_millis(2);

enum State {
    Calls(Box<Caller>),
    Sends(Box<Session>, Duration, u64),
    Over(String),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, count, seconds, mbit, film, secret @ ..] = &args[..] else {
        return Err("srt_load ADDRESS SENDERS SECONDS MBIT FILM.ts [PASSPHRASE_FILE]".into());
    };
    let (address, film): (SocketAddr, _) = (address.parse()?, std::fs::read(film)?);
    let step = Duration::from_secs_f64(DATAGRAM as f64 * 8.0 / (mbit.parse::<f64>()? * 1e6));
    let mut settings = Settings::default();
    if let Some(path) = secret.first() {
        settings.passphrase = Some(Passphrase::new(std::fs::read_to_string(path)?.trim_end())?);
    }
    let prefix = std::env::var("PREFIX").unwrap_or_default();
    let born = Instant::now();
    let mut senders = Vec::new();
    for n in 0..count.parse()? {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let id = StreamId::new(format!("{prefix}s{n}"));
        let caller = Caller::new(settings.clone(), Mode::Caller, id, address.ip(), seed, born.elapsed());
        senders.push((socket, State::Calls(Box::new(caller))));
    }
    let (mut buffer, mut latest, mut ready) = ([0; 2048], Duration::ZERO, None);
    while ready
        .is_none_or(|at: Duration| born.elapsed() < at + Duration::from_secs(seconds.parse().unwrap_or(10)))
    {
        for (n, (socket, state)) in (0u32..).zip(&mut senders) {
            let now = born.elapsed();
            while let Ok(length) = socket.recv(&mut buffer) {
                match state {
                    State::Calls(caller) => match caller.receive(&buffer[..length], now) {
                        Ok(None) => {}
                        // They don't all begin at once.
                        Ok(Some(session)) => *state = State::Sends(session, now + step * n / 200, 0),
                        Err(error) => *state = State::Over(error.to_string()),
                    },
                    State::Sends(session, ..) => session.receive(&buffer[..length], now),
                    State::Over(_) => {}
                }
            }
            match state {
                State::Calls(caller) => {
                    if let Err(error) = caller.tick(now) {
                        *state = State::Over(error.to_string());
                        continue;
                    }
                    while let Some(datagram) = caller.outgoing() {
                        let _ = socket.send(&datagram);
                    }
                }
                State::Sends(session, since, sent) => {
                    while ready.is_some() && *since + step * (*sent as u32) <= now {
                        latest = latest.max(now - *since - step * (*sent as u32));
                        let at = *sent as usize * DATAGRAM % (film.len() - DATAGRAM);
                        let at = at - at % 188;
                        session.send(&film[at..at + DATAGRAM], now);
                        *sent += 1;
                    }
                    session.tick(now);
                    while let Some(datagram) = session.outgoing() {
                        // What the system doesn't take is sent again.
                        let _ = socket.send(&datagram);
                    }
                    while session.delivered().is_some() {}
                    if let Some(over) = session.over() {
                        *state = State::Over(over.to_string());
                    }
                }
                State::Over(_) => {}
            }
        }
        if ready.is_none() && senders.iter().all(|(_, state)| !matches!(state, State::Calls(_))) {
            eprintln!("ready");
            let now = born.elapsed();
            for (_, state) in &mut senders {
                if let State::Sends(_, since, _) = state {
                    *since = (*since).max(now);
                }
            }
            ready = Some(now);
        }
        std::thread::sleep(TICK);
    }
    let (mut alive, mut sent, mut again) = (0, 0, 0);
    for (socket, state) in &mut senders {
        match state {
            State::Sends(session, ..) => {
                let stats = session.stats();
                (alive, sent, again) = (alive + 1, sent + stats.sent, again + stats.sent_again);
                session.close(born.elapsed());
                while let Some(datagram) = session.outgoing() {
                    let _ = socket.send(&datagram);
                }
            }
            State::Over(reason) => eprintln!("one is over: {reason}"),
            State::Calls(_) => {}
        }
    }
    let failed = senders.len() - alive;
    println!(
        "{{\"alive\":{alive},\"failed\":{failed},\"sent\":{sent},\"sent_again\":{again},\"latest_ms\":{}}}",
        latest.as_millis()
    );
    Ok(())
}
