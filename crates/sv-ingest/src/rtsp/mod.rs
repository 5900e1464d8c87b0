//! RTSP ([RFC 2326](https://www.rfc-editor.org/rfc/rfc2326)): the side to which others record, without a socket, clock or thread.
//!
//! Bytes and datagrams go into a [`Server`], events and bytes come out. Media come by RTP, interleaved or by UDP: H.264, HEVC,
//! AAC and Opus.

mod depacket;
mod message;
mod receiver;
mod rtp;
mod sdp;
mod server;

pub use message::{Headers, Message, Parser, Request, Response, interleaved};
pub use sdp::{Coding, Media, parse as describe};
pub use server::{Event, Server};
