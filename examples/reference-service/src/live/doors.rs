//! Where live streams come in: what of the machine is listened to, by each protocol.

use std::net::SocketAddr;

use streamverse::Error;
use streamverse::gateway::Gateway;
use streamverse::ingest::gateway::{SrtSettings, WhipSettings};

use crate::config::Config;

/// Addresses that are listened to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors {
    pub(crate) rtmp: SocketAddr,
    pub(crate) srt: SocketAddr,
    pub(crate) rtsp: Option<SocketAddr>,
}

impl Doors {
    /// Opens them.
    pub(super) fn open(gateway: &Gateway, config: &Config) -> Result<Self, Error> {
        let at = |port| SocketAddr::new(config.listen.ip(), port);
        let rtmp = one("RTMP", config.rtmp, at(1935), |address| gateway.rtmp(address))?;
        let srt = one("SRT", config.srt, at(9000), |address| gateway.srt(address, SrtSettings::default()))?;
        let whip = |udp, tcp| {
            let mut settings = WhipSettings::new(udp);
            (settings.tcp, settings.public) = (tcp, config.public_ip.clone());
            gateway.whip(settings, &[])
        };
        let media = match config.whip.as_slice() {
            [udp, more @ ..] => whip(*udp, more.first().copied()),
            [] => one("WebRTC", None, at(8189), |address| whip(address, Some(address))),
        }?;
        let rtsp = config.rtsp.map(|address| gateway.rtsp(address)).transpose()?;
        let media: Vec<_> = media.iter().map(|address| address.at).collect();
        tracing::info!(%rtmp, %srt, ?rtsp, webrtc = ?media, "live streams are taken");
        Ok(Self { rtmp, srt, rtsp })
    }
}

/// Opens what was asked for, or else the usual address, or any where that is taken.
fn one<T>(
    protocol: &str,
    wanted: Option<SocketAddr>,
    usual: SocketAddr,
    open: impl Fn(SocketAddr) -> Result<T, Error>,
) -> Result<T, Error> {
    if let Some(address) = wanted {
        return open(address);
    }
    open(usual).or_else(|_| {
        tracing::warn!("{usual} is in use: {protocol} is taken at another port");
        open(SocketAddr::new(usual.ip(), 0))
    })
}
