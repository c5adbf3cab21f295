//! [`MskIam`]: tokens for Amazon MSK, whose brokers know IAM.
//!
//! A token is a signed request (Signature Version 4 in the query, `kafka-cluster:Connect`, 15 minutes), as base64 without padding. It is
//! made here and sent to nobody but the brokers. Where the credentials come from is the AWS SDK's matter.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64_simd::URL_SAFE_NO_PAD;
use tokio::runtime::{Builder, Runtime};

use super::token::{Token, TokenSource};
use crate::error::{Error, Result};
use crate::percent::encoded;
use crate::settings::Settings;

/// How long a token holds. Brokers allow no more.
const LIFETIME: Duration = Duration::from_secs(900);

const ACTION: &str = "Action=kafka-cluster%3AConnect";

/// Tokens for Amazon MSK, signed with the credentials of the AWS SDK.
pub struct MskIam {
    region: String,
    credentials: SharedCredentialsProvider,
    now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// Tokens are wanted while the consumer is polled, which cannot wait as a task: credentials are fetched beside it.
    runtime: Mutex<Option<Runtime>>,
}

impl std::fmt::Debug for MskIam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MskIam").field("region", &self.region).finish_non_exhaustive()
    }
}

impl MskIam {
    /// With the credentials that the AWS SDK finds by itself: environment, profile, container, instance.
    ///
    /// # Errors
    /// [`Error::Setting`] where neither `region` nor the SDK's own settings give a region, or no credentials are set up.
    pub async fn from_environment(region: Option<String>) -> Result<Self> {
        let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
        let region = region.or_else(|| config.region().map(ToString::to_string));
        let region = region.ok_or_else(|| Error::setting("region", "the cluster's, here or in AWS_REGION"))?;
        let credentials = config.credentials_provider().ok_or_else(|| Error::setting("credentials", "some"))?;
        Self::new(region, credentials, now)
    }

    /// With credentials, and the time, from somewhere else.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the system gives no runtime.
    pub fn new(
        region: impl Into<String>,
        credentials: impl ProvideCredentials + 'static,
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::unavailable("to fetch credentials", e))?;
        Ok(Self {
            region: region.into(),
            credentials: SharedCredentialsProvider::new(credentials),
            now: Box::new(now),
            runtime: Mutex::new(Some(runtime)),
        })
    }

    /// What a consumer must be set to for these tokens.
    #[must_use]
    pub fn settings(settings: Settings) -> Settings {
        settings.with("security.protocol", "SASL_SSL").with("sasl.mechanism", "OAUTHBEARER")
    }

    fn credentials(&self) -> std::result::Result<Credentials, String> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = runtime.as_ref().ok_or("the consumer has ended")?;
        // A thread of its own: this one may be a runtime's, which must not wait for another.
        let fetched =
            std::thread::scope(|scope| scope.spawn(|| runtime.block_on(self.credentials.provide_credentials())).join());
        let fetched = fetched.map_err(|_| "to fetch credentials failed")?;
        // Its own text names the provider; its causes may quote what was answered.
        fetched.map_err(|e| format!("no AWS credentials: {e}"))
    }
}

impl TokenSource for MskIam {
    fn token(&self) -> std::result::Result<Token, String> {
        let credentials = self.credentials()?;
        token(&self.region, &credentials, (self.now)())
    }
}

impl Drop for MskIam {
    fn drop(&mut self) {
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may be dropped by a task, which must not wait.
        if let Some(runtime) = runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn token(region: &str, credentials: &Credentials, now: SystemTime) -> std::result::Result<Token, String> {
    let ends = credentials.expiry().unwrap_or(now + LIFETIME).min(now + LIFETIME);
    let expires_ms = ends.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok());
    let url = signed(region, credentials, now)?;
    Ok(Token {
        text: URL_SAFE_NO_PAD.encode_to_string(format!("{url}&User-Agent={}", encoded(env!("CARGO_PKG_NAME")))),
        principal: credentials.access_key_id().to_owned(),
        expires_ms: expires_ms.ok_or("the clock is before 1970")?,
    })
}

/// The address with its signature.
fn signed(region: &str, credentials: &Credentials, now: SystemTime) -> std::result::Result<String, String> {
    let host = format!("kafka.{region}.amazonaws.com");
    let url = format!("https://{host}/?{ACTION}");
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFETIME);
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder().identity(&identity).region(region).name("kafka-cluster").time(now);
    let params = params.settings(settings).build().map_err(|e| format!("no token can be signed: {e}"))?;
    let headers = [("host", &*host)].into_iter();
    let request = SignableRequest::new("GET", &url, headers, SignableBody::Bytes(&[]));
    let request = request.map_err(|e| format!("no token can be signed: {e}"))?;
    let signature = sign(request, &params.into()).map_err(|e| format!("no token can be signed: {e}"))?;
    let (instructions, _) = signature.into_parts();
    let parameters = instructions.params().iter().map(|(name, value)| format!("&{name}={}", encoded(value)));
    Ok(std::iter::once(url).chain(parameters).collect())
}

#[allow(clippy::disallowed_methods, reason = "this is the clock of those who hand in none")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// 2026-01-02T03:04:05Z.
    const NOW_S: u64 = 1_767_323_045;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn credentials(session: Option<&str>, expiry: Option<SystemTime>) -> Credentials {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        Credentials::new("AKIDEXAMPLE", secret, session.map(str::to_owned), expiry, "test")
    }

    /// What botocore's `SigV4QueryAuth` signs for the same request, credentials and time.
    #[test]
    fn requests_are_signed_as_awss_own_code_does_it() {
        let common = "Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-west-1%2Fkafka-cluster%2Faws4_request\
            &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host";
        for (session, own) in [
            (None, "X-Amz-Signature=7cc178453342e479def8e0e69cbff443ca929b5b0426af0f4b64554172c7195d"),
            (
                Some("to/k+en=="),
                "X-Amz-Security-Token=to%2Fk%2Ben%3D%3D\
                 &X-Amz-Signature=d0bf091c37fa0ea56edb1fe59161ed88c58fab3146b70a1846e320212a0fcda7",
            ),
        ] {
            let url = signed("eu-west-1", &credentials(session, None), at(NOW_S)).unwrap();
            let (host, query) = url.split_once('?').unwrap();
            assert_eq!(host, "https://kafka.eu-west-1.amazonaws.com/");
            let expect: BTreeSet<_> = common.split('&').chain(own.split('&')).collect();
            assert_eq!(query.split('&').collect::<BTreeSet<_>>(), expect);
        }
    }

    #[test]
    fn a_token_holds_as_long_as_its_signature_and_its_credentials() {
        let expires = |expiry| token("eu-west-1", &credentials(None, expiry), at(NOW_S)).unwrap().expires_ms;
        let seconds = |after: u64| i64::try_from((NOW_S + after) * 1000).unwrap();
        assert_eq!(expires(None), seconds(900));
        assert_eq!(expires(Some(at(NOW_S + 5000))), seconds(900));
        assert_eq!(expires(Some(at(NOW_S + 60))), seconds(60));
    }

    #[test]
    fn a_token_is_the_signed_address_in_base64() {
        let msk = MskIam::new("eu-west-1", credentials(None, None), || at(NOW_S)).unwrap();
        let token = msk.token().unwrap();
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode_to_vec(&token.text).unwrap()).unwrap();
        assert!(url.starts_with("https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect&"), "{url}");
        assert!(url.ends_with("&User-Agent=kafka-source"), "{url}");
        assert_eq!(token.principal, "AKIDEXAMPLE");
        assert!(!format!("{token:?} {msk:?}").contains("AKIDEXAMPLE"));
    }

    #[tokio::test]
    async fn a_task_that_polls_gets_its_token_and_may_end_it() {
        let msk = MskIam::new("eu-west-1", credentials(None, None), || at(NOW_S)).unwrap();
        assert!(msk.token().is_ok());
        drop(msk);
    }
}
