//! The one test binary of the examples: what holds for the sources as a whole.

#[cfg(test)]
mod tidy;
