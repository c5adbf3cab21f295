//! [`Schemas`]: where the schemas are that messages were written with.

use std::path::PathBuf;
use std::sync::Arc;

use cdc_decoders::{DecodeError, Decoded, Decoder, Message, SchemaId};

use crate::Failure;

/// Where the schemas are that messages were written with.
#[derive(Debug, Clone, Default)]
pub enum Schemas {
    /// Nowhere.
    #[default]
    None,
    /// In a folder, each in a file `<id>.avsc`.
    Folder(PathBuf),
    /// In a registry.
    #[cfg(feature = "registry")]
    Registry(Registry),
}

/// A client of a registry, shared.
#[cfg(feature = "registry")]
#[derive(Clone)]
pub struct Registry(pub Arc<dyn kafka_source::registry::SchemaSource>);

#[cfg(feature = "registry")]
impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

/// Why there is no schema.
#[derive(Debug)]
pub enum NoSchema {
    /// Whoever has it does not answer: later, perhaps.
    Later(String),
    /// There is none.
    Missing(Failure),
}

impl Schemas {
    /// The schemas in a folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self::Folder(folder.into())
    }

    async fn text(&self, id: SchemaId) -> Result<Arc<str>, NoSchema> {
        match self {
            Self::None => Err(NoSchema::Missing(Failure::usage(format!(
                "the messages were written with schemas of a registry, the first with {id}: name a folder of them (--schemas), or a registry"
            )))),
            Self::Folder(folder) => {
                let path = folder.join(format!("{id}.avsc"));
                let read = std::fs::read_to_string(&path);
                let missing = |error| Failure::failed(format!("{}: {error}", path.display()));
                read.map(Arc::from).map_err(missing).map_err(NoSchema::Missing)
            }
            #[cfg(feature = "registry")]
            Self::Registry(Registry(registry)) => registry.schema(id).await.map_err(|error| match error {
                kafka_source::Error::Unavailable { .. } => NoSchema::Later(crate::exit::chain(&error)),
                other => NoSchema::Missing(other.into()),
            }),
        }
    }

    /// Decodes a message, and teaches the decoder the schemas that it asks for.
    ///
    /// # Errors
    /// Where a schema is not there. What is wrong with the message stands inside.
    pub async fn decode(
        &self,
        decoder: &mut dyn Decoder,
        message: &Message<'_>,
    ) -> Result<Result<Decoded, DecodeError>, NoSchema> {
        let decoded = decoder.decode(message);
        let Ok(Decoded::NeedsSchema(id)) = decoded else { return Ok(decoded) };
        self.learn_and_decode(decoder, message, id).await
    }

    /// As [`decode`](Self::decode), of a message whose first schema the decoder asked for.
    pub(crate) async fn learn_and_decode(
        &self,
        decoder: &mut dyn Decoder,
        message: &Message<'_>,
        first: SchemaId,
    ) -> Result<Result<Decoded, DecodeError>, NoSchema> {
        let (mut id, mut asked) = (first, vec![]);
        loop {
            if asked.contains(&id) {
                let twice = Failure::failed(format!("the decoder asks twice for schema {id}"));
                return Err(NoSchema::Missing(twice));
            }
            asked.push(id);
            if let Err(error) = decoder.learn(id, &self.text(id).await?) {
                return Ok(Err(error));
            }
            match decoder.decode(message) {
                Ok(Decoded::NeedsSchema(next)) => id = next,
                decoded => return Ok(decoded),
            }
        }
    }
}
