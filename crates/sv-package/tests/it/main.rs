//! Cutting, naming and counting, without any other program.

mod live;
mod marks;
mod segmenter;
mod text;
