//! For tests of what a crash leaves behind: a store of which a call goes wrong, and a clock that is moved by hand.
//! (Feature `testing`.)

mod clock;
mod faulty;

pub use crate::mutant::Mutant;
pub use clock::ManualClock;
pub use faulty::{Fault, FaultyStore};
