//! [`SchemaId`]: what a registry calls the schema that a message was written with.

use std::fmt;

/// A schema's id, opaque: as it stands before the message, or in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SchemaId {
    /// Four bytes: Confluent's id, Apicurio's content id.
    Id(u32),
    /// Eight bytes: Apicurio's global id.
    GlobalId(u64),
    /// Sixteen bytes: AWS Glue's schema version, Confluent's GUID.
    Uuid([u8; 16]),
}

/// As its registry prints it, and as files of schemas are named by it.
impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::GlobalId(id) => write!(f, "{id}"),
            Self::Uuid(bytes) => {
                for (place, byte) in bytes.iter().enumerate() {
                    let dash = if matches!(place, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printed_as_their_registries_do() {
        assert_eq!(SchemaId::Id(42).to_string(), "42");
        assert_eq!(SchemaId::GlobalId(1 << 40).to_string(), "1099511627776");
        let uuid: Vec<u8> = (0..16).collect();
        let uuid = SchemaId::Uuid(uuid.try_into().unwrap());
        assert_eq!(uuid.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
