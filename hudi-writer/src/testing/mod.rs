//! For tests of what a crash leaves behind: a store that dies. (Feature `testing`.)

mod dying;

pub use dying::DyingStore;
