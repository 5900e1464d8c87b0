//! The demuxer against strangers' files, the codecs against the ffmpeg program.

mod demux;
mod hostile;
mod probe;
mod scale;
