//! [`StoreSettings`]: what a place needs to be told beyond its URL. Not here: credentials and endpoints, which are found
//! where every AWS program finds them.

/// How the store of a table is used. The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// How S3 is to encrypt what is written. `None`: as the variables `AWS_SERVER_SIDE_ENCRYPTION` (`AES256`, `aws:kms` or
    /// `aws:kms:dsse`), `AWS_SSE_KMS_KEY_ID` and `AWS_SSE_BUCKET_KEY_ENABLED` say; without them, as the bucket is set up.
    /// Refused for a table that is not at `s3://`.
    pub encryption: Option<Encryption>,
}

/// How S3 encrypts an object. Given per object, it goes before what the bucket is set up for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encryption {
    /// With keys that S3 manages (SSE-S3).
    S3,
    /// With a key in KMS (SSE-KMS).
    Kms {
        /// The key's id, alias or ARN; `None`: the account's key for S3.
        key: Option<String>,
        /// Whether one data key of the bucket serves many objects, which saves requests to KMS; `None`: as the bucket
        /// is set up.
        bucket_key: Option<bool>,
    },
    /// Twice, with a key in KMS (DSSE-KMS).
    KmsTwice {
        /// The key's id, alias or ARN; `None`: the account's key for S3.
        key: Option<String>,
    },
}
