//! Cutting, naming and counting, without any other program.

mod segmenter;
mod text;
