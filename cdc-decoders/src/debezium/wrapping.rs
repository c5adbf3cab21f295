//! What a payload in JSON is: [`Wrapping`].
//!
//! Not here: what its members are.

/// What a payload is, and so its inline schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wrapping {
    #[default]
    Envelope,
    /// A flattened row.
    Row,
    /// `before` and `after` alone.
    Images,
}
