//! WebRTC in, by WHIP ([RFC 9725](https://www.rfc-editor.org/rfc/rfc9725)): one sender without a socket, clock or thread.
//!
//! An offer becomes a [`Session`] with an answer, by whatever HTTP server; datagrams go in, and tracks and packets come out.
//! [`Fragment`] is what candidates that are found later come in, and [`Framing`] how datagrams travel over TCP.

mod fragment;
mod framing;
mod session;

pub use fragment::{Fragment, MOST_BYTES, MOST_CANDIDATES};
pub use framing::{Framing, frame};
pub use session::{Address, MOST_OFFER, Output, Session, Way};
