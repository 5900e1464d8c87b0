//! The service from outside: the real program, a real socket, clients that know nothing of it.

mod crash;
mod events;
mod library;
mod live;
mod openapi;
mod playback;
mod recordings;
mod service;
mod start;
mod uploads;
mod workers;
