//! The demuxer against strangers' files, the codecs against the ffmpeg program.

mod demux;
mod device;
mod hostile;
mod probe;
mod scale;
