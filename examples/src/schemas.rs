//! [`Schemas`]: where the schemas are that messages were written with.

use std::path::PathBuf;

use cdc_decoders::{DecodeError, Decoded, Decoder, SchemaId};
use kafka_source::CapturedRecord;

use crate::Failure;

/// A folder of schemas, each in a file `<id>.avsc`; or none.
#[derive(Debug, Clone, Default)]
pub struct Schemas(Option<PathBuf>);

impl Schemas {
    /// The schemas in a folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self(Some(folder.into()))
    }

    fn text(&self, id: SchemaId) -> Result<String, Failure> {
        let Some(folder) = &self.0 else {
            return Err(Failure::usage(format!(
                "the messages were written with schemas of a registry, the first with {id}: name a folder of them with --schemas"
            )));
        };
        let path = folder.join(format!("{id}.avsc"));
        std::fs::read_to_string(&path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
    }

    /// Decodes a message, and teaches the decoder the schemas that it asks for.
    ///
    /// # Errors
    /// Where a schema is not there. What is wrong with the message stands inside.
    pub fn decode(
        &self,
        decoder: &mut dyn Decoder,
        record: &CapturedRecord,
    ) -> Result<Result<Decoded, DecodeError>, Failure> {
        let headers = record.headers();
        let message = record.as_message(&headers);
        let mut asked = vec![];
        loop {
            let decoded = decoder.decode(&message);
            let Ok(Decoded::NeedsSchema(id)) = decoded else { return Ok(decoded) };
            if asked.contains(&id) {
                return Err(Failure::failed(format!("the decoder asks twice for schema {id}")));
            }
            asked.push(id);
            if let Err(error) = decoder.learn(id, &self.text(id)?) {
                return Ok(Err(error));
            }
        }
    }
}
