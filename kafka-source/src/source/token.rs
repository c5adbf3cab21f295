//! [`TokenSource`]: who says who we are, where brokers want a token (`sasl.mechanism=OAUTHBEARER`).

/// A token for brokers.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token's text.
    pub text: String,
    /// Whose it is, for logs.
    pub principal: String,
    /// Until when it holds, in milliseconds since 1970 UTC.
    pub expires_ms: i64,
}

/// Without the token.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}

/// Makes tokens. librdkafka asks for a new one when four fifths of the old one's time are over.
pub trait TokenSource: Send + Sync {
    /// A new token. Called while the consumer is polled, which waits for it.
    ///
    /// # Errors
    /// What is wrong, in words, without secrets: it is logged.
    fn token(&self) -> Result<Token, String>;
}
