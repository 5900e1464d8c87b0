//! RTSP ([RFC 2326](https://www.rfc-editor.org/rfc/rfc2326)): the side to which others record ([`Server`]), and the side that plays
//! what others have ([`Client`]), without a socket, clock or thread.
//!
//! Bytes and datagrams go in, events and bytes come out. Media come by RTP, interleaved or by UDP: H.264, HEVC,
//! AAC and Opus.

mod auth;
mod client;
mod depacket;
mod message;
mod receiver;
mod rtp;
mod sdp;
mod server;

pub use auth::{Digests, Proof};
pub use client::{Address, Client, Heard};
pub use message::{Headers, Message, Parser, Request, Response, interleaved};
pub use sdp::{Coding, Media, parse as describe};
pub use server::{Event, Server};
