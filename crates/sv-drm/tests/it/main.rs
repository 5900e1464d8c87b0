//! Encryption against files that shaka-packager encrypted, and against itself.

mod cenc;
mod hostile;
mod oracle;
