//! What stands before a message's body: [`SchemaId`], what a registry calls the schema that it was written with, and [`Framing`], where
//! that stands.
//!
//! Confluent's registry and Apicurio's: a zero byte and the id, or the id in headers. AWS Glue: a byte 3, a byte of compression, the
//! schema version's UUID. Not here: where schemas come from, and what the body means.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use crate::error::{DecodeError, Part};

/// The most bytes that a compressed body may have once it is inflated.
pub const MAX_INFLATED_BYTES: usize = 64 << 20;

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

/// Where the id of a message's schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Framing {
    /// As the message shows: in the headers that Confluent's and Apicurio's serializers write, else before the body. There,
    /// after a zero byte, four bytes are the id, unless they are zero, which no registry gives as an id: eight bytes then.
    /// (Global ids of 2^32 and more need [`Framing::GlobalId`].)
    #[default]
    Auto,
    /// A zero byte and an id of four bytes, big-endian: Confluent, and Apicurio since its version 3 (content ids).
    Id,
    /// A zero byte and an id of eight bytes, big-endian: Apicurio's version 2, and its legacy handler.
    GlobalId,
    /// AWS Glue: a byte 3, a byte of compression (0: none, 5: zlib), 16 bytes of the schema version's UUID.
    Glue,
    /// In headers; the body has no frame.
    Headers,
    /// Nowhere: the schema is the one that the user names.
    None,
}

/// A body without its frame.
#[derive(Debug)]
pub(crate) struct Framed<'a> {
    /// `None`: the user's.
    pub(crate) id: Option<SchemaId>,
    pub(crate) body: Cow<'a, [u8]>,
    /// Bytes before the body in the message.
    pub(crate) frame_bytes: usize,
}

impl<'a> Framed<'a> {
    fn plain(id: Option<SchemaId>, bytes: &'a [u8], frame_bytes: usize) -> Self {
        Self { id, body: Cow::Borrowed(&bytes[frame_bytes..]), frame_bytes }
    }
}

impl Framing {
    /// Takes the frame off the key or value of a message. `header` gives the message's headers.
    #[inline]
    pub(crate) fn open<'a, 'h>(
        self,
        bytes: &'a [u8],
        part: Part,
        header: impl Fn(&str) -> Option<&'h [u8]>,
    ) -> Result<Framed<'a>, DecodeError> {
        match self {
            Self::Auto => match in_headers(part, header)? {
                Some(id) => Ok(Framed::plain(Some(id), bytes, 0)),
                None => told_by_itself(bytes, part),
            },
            Self::Id => id4(bytes, part),
            Self::GlobalId => id8(bytes, part),
            Self::Glue => glue(bytes, part),
            Self::Headers => {
                let id = in_headers(part, header)?;
                let missing = malformed(part, 0, "want the schema's id in a header");
                Ok(Framed::plain(Some(id.ok_or(missing)?), bytes, 0))
            }
            Self::None => Ok(Framed::plain(None, bytes, 0)),
        }
    }
}

/// Whether bytes begin as a frame does, which neither JSON nor other text does.
pub(crate) fn begins_as_frame(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0 | 1 | 3))
}

/// Whether a header names the schema of the key or value.
pub(crate) fn is_named<'h>(part: Part, header: impl Fn(&str) -> Option<&'h [u8]>) -> bool {
    !matches!(in_headers(part, header), Ok(None))
}

const fn malformed(part: Part, offset: usize, reason: &'static str) -> DecodeError {
    DecodeError::Malformed { part, offset, reason }
}

#[inline]
fn told_by_itself(bytes: &[u8], part: Part) -> Result<Framed<'_>, DecodeError> {
    match bytes {
        [0, 0, 0, 0, 0, _, ..] => id8(bytes, part),
        [0, ..] => id4(bytes, part),
        [1, ..] => guid(bytes, part),
        [3, ..] => glue(bytes, part),
        _ => Err(malformed(part, 0, "no frame of a registry, and no header that names the schema")),
    }
}

#[inline]
fn id4(bytes: &[u8], part: Part) -> Result<Framed<'_>, DecodeError> {
    match bytes {
        [0, a, b, c, d, ..] => Ok(Framed::plain(Some(SchemaId::Id(u32::from_be_bytes([*a, *b, *c, *d]))), bytes, 5)),
        _ => Err(malformed(part, 0, "want a zero byte and a schema id of four bytes")),
    }
}

fn id8(bytes: &[u8], part: Part) -> Result<Framed<'_>, DecodeError> {
    let id = bytes.strip_prefix(&[0]).and_then(<[u8]>::first_chunk);
    let id = id.ok_or(malformed(part, 0, "want a zero byte and a schema id of eight bytes"))?;
    Ok(Framed::plain(Some(SchemaId::GlobalId(u64::from_be_bytes(*id))), bytes, 9))
}

fn guid(bytes: &[u8], part: Part) -> Result<Framed<'_>, DecodeError> {
    let id = bytes.strip_prefix(&[1]).and_then(<[u8]>::first_chunk);
    let id = id.ok_or(malformed(part, 0, "want a byte 1 and a schema's GUID of 16 bytes"))?;
    Ok(Framed::plain(Some(SchemaId::Uuid(*id)), bytes, 17))
}

fn glue(bytes: &[u8], part: Part) -> Result<Framed<'_>, DecodeError> {
    const FRAME: usize = 18;
    let bad = malformed(part, 0, "want AWS Glue's frame: a byte 3, a byte of compression, 16 bytes of a UUID");
    let Some([3, compression, id @ ..]) = bytes.first_chunk::<FRAME>() else { return Err(bad) };
    let id = Some(SchemaId::Uuid(*id.first_chunk().ok_or(bad)?));
    match compression {
        0 => Ok(Framed::plain(id, bytes, FRAME)),
        5 => Ok(Framed { id, body: Cow::Owned(inflate(&bytes[FRAME..], part)?), frame_bytes: FRAME }),
        _ => Err(malformed(part, 1, "want 0 or 5 as AWS Glue's byte of compression")),
    }
}

fn inflate(compressed: &[u8], part: Part) -> Result<Vec<u8>, DecodeError> {
    let mut body = Vec::new();
    let mut limited = flate2::read::ZlibDecoder::new(compressed).take(MAX_INFLATED_BYTES as u64 + 1);
    limited.read_to_end(&mut body).map_err(|_| malformed(part, 18, "want a body in zlib"))?;
    if body.len() > MAX_INFLATED_BYTES {
        return Err(malformed(part, 18, "the body inflates to more than 64 MiB"));
    }
    Ok(body)
}

/// The id that headers name: Confluent's first, then Apicurio's.
#[inline]
fn in_headers<'h>(part: Part, header: impl Fn(&str) -> Option<&'h [u8]>) -> Result<Option<SchemaId>, DecodeError> {
    let [confluent, global, content] = match part {
        Part::Key => ["__key_schema_id", "apicurio.key.globalId", "apicurio.key.contentId"],
        Part::Value => ["__value_schema_id", "apicurio.value.globalId", "apicurio.value.contentId"],
    };
    let bad = malformed(part, 0, "the header of the schema's id holds no such id");
    let eight = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
    let id = if let Some(bytes) = header(confluent) {
        match bytes {
            [1, guid @ ..] => guid.try_into().map(SchemaId::Uuid).ok(),
            [0, id @ ..] => id.try_into().map(|id| SchemaId::Id(u32::from_be_bytes(id))).ok(),
            _ => None,
        }
    } else if let Some(bytes) = header(global) {
        eight(bytes).map(SchemaId::GlobalId)
    } else if let Some(bytes) = header(content) {
        eight(bytes).and_then(|id| u32::try_from(id).ok()).map(SchemaId::Id)
    } else {
        return Ok(None);
    };
    id.map(Some).ok_or(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn ids_are_printed_as_their_registries_do() {
        assert_eq!(SchemaId::Id(42).to_string(), "42");
        assert_eq!(SchemaId::GlobalId(1 << 40).to_string(), "1099511627776");
        let uuid: Vec<u8> = (0..16).collect();
        let uuid = SchemaId::Uuid(uuid.try_into().unwrap());
        assert_eq!(uuid.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    /// The id, and the body's text and place.
    fn open(
        framing: Framing,
        bytes: &[u8],
        headers: &[(&str, &[u8])],
    ) -> Result<(Option<SchemaId>, String, usize), DecodeError> {
        let header = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let framed = framing.open(bytes, Part::Value, header)?;
        Ok((framed.id, String::from_utf8(framed.body.into_owned()).unwrap(), framed.frame_bytes))
    }

    const UUID: [u8; 16] = *b"0123456789abcdef";

    fn glue_frame(compression: u8, body: &[u8]) -> Vec<u8> {
        [&[3, compression][..], &UUID, body].concat()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_frame_tells_its_kind_by_itself() {
        let id = |id| Some(SchemaId::Id(id));
        let global = |id| Some(SchemaId::GlobalId(id));
        let uuid = Some(SchemaId::Uuid(UUID));
        let guid = [&[1][..], &UUID, b"x"].concat();
        for (framing, bytes, expected) in [
            (Framing::Id, &b"\0\0\0\x01\x02x"[..], (id(258), 5)),
            (Framing::Id, b"\0\0\0\0\0x", (id(0), 5)),
            (Framing::GlobalId, b"\0\0\0\0\0\0\0\0\x07x", (global(7), 9)),
            (Framing::GlobalId, b"\0\0\0\0\x01\0\0\0\x07x", (global((1 << 32) + 7), 9)),
            (Framing::Glue, &glue_frame(0, b"x"), (uuid, 18)),
            (Framing::Glue, &glue_frame(5, &zlib(b"x")), (uuid, 18)),
            (Framing::Auto, &guid, (uuid, 17)),
        ] {
            let (id, body, frame_bytes) = open(framing, bytes, &[]).unwrap();
            assert_eq!((body.as_str(), (id, frame_bytes)), ("x", expected));
            let wide = matches!(expected.0, Some(SchemaId::GlobalId(id)) if id >> 32 != 0);
            if expected.0 != Some(SchemaId::Id(0)) && !wide {
                assert_eq!(open(Framing::Auto, bytes, &[]).unwrap().0, id);
            }
        }
        assert_eq!(open(Framing::None, b"\0x", &[]).unwrap(), (None, "\0x".to_owned(), 0));
    }

    #[test]
    fn headers_go_before_frames() {
        let guid = [&[1][..], &UUID].concat();
        for (name, value, id) in [
            ("__value_schema_id", &guid[..], SchemaId::Uuid(UUID)),
            ("__value_schema_id", &[0, 0, 0, 0, 9], SchemaId::Id(9)),
            ("apicurio.value.globalId", &[0, 0, 0, 0, 0, 0, 0, 9], SchemaId::GlobalId(9)),
            ("apicurio.value.contentId", &[0, 0, 0, 0, 0, 0, 0, 9], SchemaId::Id(9)),
        ] {
            for framing in [Framing::Auto, Framing::Headers] {
                assert_eq!(open(framing, b"\0x", &[(name, value)]).unwrap(), (Some(id), "\0x".to_owned(), 0));
                assert!(open(framing, b"\0x", &[(name, &value[1..])]).is_err());
            }
        }
        assert!(open(Framing::Headers, b"\0\0\0\0\x01x", &[("__key_schema_id", &guid)]).is_err());
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_refused_by_name() {
        for (framing, bytes) in [
            (Framing::Auto, &b""[..]),
            (Framing::Auto, b"{\"op\":\"c\"}"),
            (Framing::Auto, b"\0\0\0\x01"),
            (Framing::Auto, b"\0\0\0\0\0\0\0\0"),
            (Framing::Id, b"\x01\0\0\0\x01x"),
            (Framing::GlobalId, b"\0\0\0\0\x01x"),
            (Framing::Glue, &glue_frame(0, b"")[..17]),
            (Framing::Glue, &glue_frame(4, b"x")),
            (Framing::Glue, &glue_frame(5, b"x")),
            (Framing::Headers, b"x"),
        ] {
            let error = open(framing, bytes, &[]).unwrap_err();
            assert!(error.can_go_on() && matches!(error, DecodeError::Malformed { .. }), "{bytes:?}");
        }
        let bomb = glue_frame(5, &zlib(&vec![0; MAX_INFLATED_BYTES + 1]));
        assert!(open(Framing::Glue, &bomb, &[]).unwrap_err().to_string().contains("64 MiB"));
    }
}
