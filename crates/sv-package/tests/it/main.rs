//! Cutting, naming and counting, without any other program.

mod live;

mod segmenter;
mod text;
