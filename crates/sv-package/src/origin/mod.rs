//! Just in time: what a request to an origin is answered with, made of media as they are stored.
//!
//! Nothing here opens a file or knows a socket. A [`Table`] says where each sample of a stored track lies. An
//! [`Offer`] makes renditions of some tables: it writes every manifest from them, and says of each segment which
//! bytes to read ([`Piece`]) and what to make of them. Segments come out as a [`Packager`](crate::Packager) that
//! reads the whole file would write them, so nothing has to be packaged before somebody asks. [`Request`] is
//! what a path and a query ask for.

mod filter;
mod offer;
mod request;
mod table;

pub use filter::Filter;
pub use offer::{Member, Offer, Piece};
pub use request::{Query, Refusal, Request, Wanted};
pub use table::{Sample, Table};
