//! Tables at `s3://BUCKET/PREFIX`: region, endpoint and encryption put together to a store. (Feature `s3`.)
//!
//! Everything is found where every AWS program finds it: variables, profiles, web identity, container, instance. No ETag is
//! ever taken for a checksum of the content: under KMS, and for objects that came in parts, it is none.
//!
//! Credentials are kept in [`credentials`], how long a request may take in [`deadlines`].

mod credentials;
mod deadlines;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};

use super::settings::{Encryption, StoreSettings};
use crate::clock::SystemClock;
use crate::error::{Error, Result};
use credentials::Credentials;
use deadlines::Deadlines;

/// The store of a bucket, once region and credentials are found. `url` names it in messages.
///
/// # Errors
/// [`Error::Setting`] where there is no region or a variable cannot be used, [`Error::Store`] where there are no credentials.
pub(super) async fn open(bucket: &str, url: &str, settings: &StoreSettings) -> Result<Arc<dyn ObjectStore>> {
    let found = aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await;
    build(bucket, url, settings, &found, &|name| std::env::var(name).ok()).await
}

/// [`open`] with what the environment says.
async fn build(
    bucket: &str,
    url: &str,
    settings: &StoreSettings,
    found: &SdkConfig,
    variable: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<Arc<dyn ObjectStore>> {
    let region = region(found)?;
    let at = Address::of(bucket, &region, endpoint(found))?;
    let credentials = credentials(found, url).await?;
    let builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_endpoint(at.endpoint)
        .with_virtual_hosted_style_request(at.bucket_in_host)
        .with_credentials(credentials)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    let builder = match &settings.encryption {
        Some(encryption) => encrypted(builder, encryption),
        None => encrypted_as_variables_say(builder, variable)?,
    };
    Ok(Arc::new(Deadlines::build(builder, at.http).map_err(failed("open", url))?))
}

fn failed(action: &'static str, url: &str) -> impl FnOnce(object_store::Error) -> Error {
    move |source| Error::Store { action, path: url.to_owned(), source: Arc::new(source) }
}

fn region(found: &SdkConfig) -> Result<String> {
    let region = found.region().map(|region| region.as_ref().to_owned());
    region.filter(|region| !region.is_empty()).ok_or_else(|| Error::Setting {
        setting: "AWS_REGION".into(),
        value: String::new(),
        want: "the bucket's region there, as `region` of the profile, or from the instance".into(),
    })
}

/// The S3 endpoint that variables or the profile name, if any: first S3's own, then the one for all services.
fn endpoint(found: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("s3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok();
    let own = key.and_then(|key| found.service_config()?.load_config(key));
    own.or_else(|| found.endpoint_url().map(str::to_owned)).filter(|endpoint| !endpoint.trim().is_empty())
}

async fn credentials(found: &SdkConfig, url: &str) -> Result<Arc<Credentials>> {
    let provider = found.credentials_provider().ok_or_else(|| {
        Error::refused(format!("a table at {url}"), "there is nothing that could give credentials for it")
    })?;
    let credentials = Credentials::new(provider, Arc::new(SystemClock));
    credentials.load_first().await.map_err(failed("find credentials for", url))?;
    Ok(Arc::new(credentials))
}

/// Where the bucket answers.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    endpoint: String,
    bucket_in_host: bool,
    http: bool,
}

impl Address {
    /// A custom endpoint takes the bucket in the path, and only there may requests go unencrypted. AWS takes it in the
    /// host, but for a name with dots, which the certificate would not match.
    fn of(bucket: &str, region: &str, custom: Option<String>) -> Result<Self> {
        if let Some(endpoint) = custom {
            let http = endpoint.starts_with("http://");
            if !http && !endpoint.starts_with("https://") {
                let want = "a URL that begins with https:// or http://".into();
                return Err(Error::Setting { setting: "AWS_ENDPOINT_URL_S3".into(), value: endpoint, want });
            }
            return Ok(Self { endpoint, bucket_in_host: false, http });
        }
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        let host = format!("s3.{region}.amazonaws.com{china}");
        let bucket_in_host = !bucket.contains('.');
        let endpoint = if bucket_in_host { format!("https://{bucket}.{host}") } else { format!("https://{host}") };
        Ok(Self { endpoint, bucket_in_host, http: false })
    }
}

const ENCRYPTION: &str = "AWS_SERVER_SIDE_ENCRYPTION";
const KMS_KEY: &str = "AWS_SSE_KMS_KEY_ID";
const BUCKET_KEY: &str = "AWS_SSE_BUCKET_KEY_ENABLED";

/// Asks for an encryption by the names that the store has for it.
fn encrypted(builder: AmazonS3Builder, encryption: &Encryption) -> AmazonS3Builder {
    let (kind, key, bucket_key) = match encryption {
        Encryption::S3 => ("AES256", None, None),
        Encryption::Kms { key, bucket_key } => ("aws:kms", key.clone(), *bucket_key),
        Encryption::KmsTwice { key } => ("aws:kms:dsse", key.clone(), None),
    };
    let values =
        [(ENCRYPTION, Some(kind.to_owned())), (KMS_KEY, key), (BUCKET_KEY, bucket_key.map(|on| on.to_string()))];
    values.into_iter().fold(builder, |builder, (name, value)| {
        let known: Result<AmazonS3ConfigKey, _> = name.to_ascii_lowercase().parse();
        match (known, value) {
            (Ok(known), Some(value)) => builder.with_config(known, value),
            _ => builder,
        }
    })
}

fn encrypted_as_variables_say(
    builder: AmazonS3Builder,
    variable: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<AmazonS3Builder> {
    let key = variable(KMS_KEY);
    let encryption = match variable(ENCRYPTION).as_deref() {
        None if key.is_some() => Encryption::Kms { key, bucket_key: bucket_key(variable)? },
        None => return Ok(builder),
        Some("AES256") => Encryption::S3,
        Some("aws:kms") => Encryption::Kms { key, bucket_key: bucket_key(variable)? },
        Some("aws:kms:dsse") => Encryption::KmsTwice { key },
        Some(other) => {
            let want = "`AES256`, `aws:kms` or `aws:kms:dsse`".into();
            return Err(Error::Setting { setting: ENCRYPTION.into(), value: other.into(), want });
        }
    };
    Ok(encrypted(builder, &encryption))
}

fn bucket_key(variable: &(dyn Fn(&str) -> Option<String> + Sync)) -> Result<Option<bool>> {
    let Some(value) = variable(BUCKET_KEY) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| Error::Setting {
        setting: BUCKET_KEY.into(),
        value,
        want: "`true` or `false`".into(),
    })
}
