//! [`SchemaSource`]: where the texts of schemas are, and [`decode`], which teaches them to a decoder.
//!
//! Not here: how a registry is asked.

use std::sync::Arc;

use async_trait::async_trait;
use cdc_decoders::{DecodeError, Decoded, Decoder, Message, SchemaId};

use crate::error::{Error, Result};

/// Where the texts of schemas are.
#[async_trait]
pub trait SchemaSource: Send + Sync {
    /// The text of a schema, complete in itself. Dropped half-way: the next to ask begins anew.
    ///
    /// # Errors
    /// [`Error::Schema`] where there is none, or none that can be used; [`Error::Unavailable`] where asking again may help.
    async fn schema(&self, id: SchemaId) -> Result<Arc<str>>;
}

/// Decodes a message, and teaches the decoder the schemas that it asks for.
///
/// # Errors
/// Where a schema is not to be had. What is wrong with the message, or the schema, stands inside.
pub async fn decode(
    decoder: &mut dyn Decoder,
    message: &Message<'_>,
    schemas: &dyn SchemaSource,
) -> Result<Result<Decoded, DecodeError>> {
    let mut asked = vec![];
    loop {
        let decoded = decoder.decode(message);
        let Ok(Decoded::NeedsSchema(id)) = decoded else { return Ok(decoded) };
        if asked.contains(&id) {
            return Err(Error::schema(id, "the decoder learned it and asks for it again"));
        }
        asked.push(id);
        if let Err(error) = decoder.learn(id, &schemas.schema(id).await?) {
            return Ok(Err(error));
        }
    }
}
