//! [`Credentials`]: the AWS SDK's way to credentials, kept and renewed for the store. Not here: where they come from.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use aws_credential_types::Credentials as Found;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::AwsCredential;
use object_store::{CredentialProvider, Error, Result};
use tokio::sync::Mutex;

use crate::clock::Clock;

/// Renewed so long before they expire: requests in flight go on to be valid.
const RENEW_BEFORE_MS: i64 = 300_000;
/// After a renewal that failed, the next is tried so much later, while what is held is still valid.
const RENEW_AGAIN_MS: i64 = 10_000;
/// How long may be waited for credentials while the held ones are still valid: a put waits no longer for them.
const RENEW_WITHIN: Duration = Duration::from_secs(2);
/// How long may be waited where none are held. An instance that is none answers late.
const LOAD_WITHIN: Duration = Duration::from_secs(10);

/// Credentials that are renewed before they expire.
///
/// While some are still valid, a renewal that fails or takes too long leaves them in use. Dropped half-way, the next
/// caller renews.
#[derive(Debug)]
pub(super) struct Credentials {
    provider: SharedCredentialsProvider,
    clock: Arc<dyn Clock>,
    held: Mutex<Option<Held>>,
}

#[derive(Debug, Clone)]
struct Held {
    credential: Arc<AwsCredential>,
    renew_at_ms: i64,
    expires_at_ms: i64,
}

impl Held {
    fn of(found: &Found) -> Self {
        let since = found.expiry().map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default());
        let expires_at_ms = since.map_or(i64::MAX, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let credential = AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        };
        Self {
            credential: Arc::new(credential),
            renew_at_ms: expires_at_ms.saturating_sub(RENEW_BEFORE_MS),
            expires_at_ms,
        }
    }
}

impl Credentials {
    /// None are held yet. Credentials expire by the world's time: `clock` is the machine's, but in tests.
    pub(super) fn new(provider: SharedCredentialsProvider, clock: Arc<dyn Clock>) -> Self {
        Self { provider, clock, held: Mutex::new(None) }
    }

    /// Loads them, so that their absence shows when a table is opened.
    pub(super) async fn load_first(&self) -> Result<()> {
        self.get_credential().await.map(|_| ())
    }

    async fn next(&self, held: Option<&Held>, now_ms: i64) -> Result<Held> {
        match held {
            Some(held) if now_ms < held.renew_at_ms => Ok(held.clone()),
            Some(held) if now_ms < held.expires_at_ms => Ok(self.load(RENEW_WITHIN).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "credentials could not be renewed; the held ones stay in use");
                let renew_at_ms = held.expires_at_ms.min(now_ms.saturating_add(RENEW_AGAIN_MS));
                Held { renew_at_ms, ..held.clone() }
            })),
            _ => self.load(LOAD_WITHIN).await,
        }
    }

    async fn load(&self, within: Duration) -> Result<Held> {
        let failed = |source| Error::Generic { store: "S3", source };
        match tokio::time::timeout(within, self.provider.provide_credentials()).await {
            Ok(Ok(found)) => Ok(Held::of(&found)),
            Ok(Err(error)) => Err(failed(Box::new(error))),
            Err(_) => Err(failed(format!("no credentials within {} s", within.as_secs()).into())),
        }
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let mut held = self.held.lock().await;
        let next = self.next(held.as_ref(), self.clock.now_ms()).await?;
        let credential = Arc::clone(&next.credential);
        *held = Some(next);
        Ok(credential)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "how long a request waits is measured by the machine's clock")]
mod tests {
    use super::*;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::future;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
    use std::time::{Instant, SystemTime};

    /// Gives what is valid for an hour, numbered; or fails; or does not answer. It is the clock, too.
    #[derive(Debug, Clone, Default)]
    struct Source(Arc<Inside>);

    #[derive(Debug, Default)]
    struct Inside {
        now_ms: AtomicI64,
        given: AtomicU64,
        broken: AtomicU64,
        silent: AtomicU64,
    }

    impl Clock for Source {
        fn now_ms(&self) -> i64 {
            self.0.now_ms.load(Ordering::SeqCst)
        }

        fn unique_id(&self) -> u128 {
            0
        }

        fn sleep(&self, _: i64) -> futures::future::BoxFuture<'static, ()> {
            Box::pin(futures::future::pending())
        }
    }

    impl Source {
        fn at(&self, now_ms: i64) {
            self.0.now_ms.store(now_ms, Ordering::SeqCst);
        }

        async fn give(&self) -> Result<Found, CredentialsError> {
            if self.0.silent.load(Ordering::SeqCst) > 0 {
                std::future::pending::<()>().await;
            }
            if self.0.broken.load(Ordering::SeqCst) > 0 {
                return Err(CredentialsError::provider_error("broken"));
            }
            let number = self.0.given.fetch_add(1, Ordering::SeqCst) + 1;
            let expiry: SystemTime = UNIX_EPOCH + Duration::from_millis(self.now_ms() as u64 + HOUR_MS as u64);
            Ok(Found::new(format!("key {number}"), "secret", Some("token".into()), Some(expiry), "test"))
        }
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(self.give())
        }
    }

    const HOUR_MS: i64 = 3_600_000;

    fn credentials(source: &Source) -> Credentials {
        Credentials::new(SharedCredentialsProvider::new(source.clone()), Arc::new(source.clone()))
    }

    async fn key(credentials: &Credentials) -> Result<String> {
        credentials.get_credential().await.map(|found| found.key_id.clone())
    }

    #[tokio::test]
    async fn credentials_are_kept_and_renewed_before_they_expire() {
        let source = Source::default();
        let credentials = credentials(&source);
        let many = futures::future::join_all((0..20).map(|_| key(&credentials))).await;
        assert!(many.into_iter().all(|found| found.unwrap() == "key 1"));
        source.at(HOUR_MS - RENEW_BEFORE_MS - 1);
        assert_eq!(key(&credentials).await.unwrap(), "key 1");
        source.at(HOUR_MS - RENEW_BEFORE_MS);
        assert_eq!(key(&credentials).await.unwrap(), "key 2");
        assert_eq!(key(&credentials).await.unwrap(), "key 2");
    }

    #[tokio::test]
    async fn a_renewal_that_fails_leaves_valid_credentials_in_use_and_expired_ones_not() {
        let source = Source::default();
        let credentials = credentials(&source);
        assert_eq!(key(&credentials).await.unwrap(), "key 1");
        source.0.broken.store(1, Ordering::SeqCst);
        source.at(HOUR_MS - 1);
        assert_eq!(key(&credentials).await.unwrap(), "key 1");
        source.at(HOUR_MS);
        assert!(key(&credentials).await.is_err());
        source.0.broken.store(0, Ordering::SeqCst);
        assert_eq!(key(&credentials).await.unwrap(), "key 2");
    }

    #[tokio::test]
    async fn a_silent_source_keeps_no_request_waiting_while_credentials_are_valid() {
        let source = Source::default();
        let credentials = credentials(&source);
        assert_eq!(key(&credentials).await.unwrap(), "key 1");
        source.0.silent.store(1, Ordering::SeqCst);
        source.at(HOUR_MS - RENEW_AGAIN_MS);
        let began = Instant::now();
        assert_eq!(key(&credentials).await.unwrap(), "key 1");
        assert!(began.elapsed() < 2 * RENEW_WITHIN, "{:?}", began.elapsed());
        let began = Instant::now();
        assert_eq!(key(&credentials).await.unwrap(), "key 1");
        assert!(began.elapsed() < RENEW_WITHIN / 2, "{:?}", began.elapsed());
    }
}
