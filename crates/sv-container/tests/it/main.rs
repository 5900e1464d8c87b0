//! The crate from outside, judged by programs and files that are not ours. One binary: it links
//! once, and its tests run in parallel.

mod cea;
mod corpus;
mod fragments;
mod hostile;
mod info;
mod judged;
mod oracle;
mod probe;
mod progressive;
mod protected;
mod scte35;
mod synthetic;
mod ts_written;
mod ttml;
mod webvtt;
