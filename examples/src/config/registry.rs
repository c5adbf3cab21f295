//! A [`RegistryConfig`] as the schemas that a feed asks for.

use std::sync::Arc;
use std::time::Duration;

use kafka_source::registry::{Auth, Registry, RegistrySettings};

use super::file::RegistryConfig;
use crate::{Failure, Schemas};

/// How long a request may take, where nothing else is said.
const TIMEOUT_MS: u64 = 5_000;

impl RegistryConfig {
    /// The registry's schemas. Nothing is asked yet.
    ///
    /// # Errors
    /// What is wrong with the registry's address, or with how one says who one is.
    pub fn schemas(&self) -> Result<Schemas, Failure> {
        let settings = RegistrySettings {
            auth: self.auth()?,
            apicurio: self.apicurio.clone(),
            timeout: Duration::from_millis(self.timeout.map_or(TIMEOUT_MS, |timeout| timeout.ms.unsigned_abs())),
            // Who does not answer is asked again while others go on.
            attempts: u32::try_from(self.urls.len()).unwrap_or(1).max(1),
            first_pause: Duration::from_millis(50),
            ..RegistrySettings::new(&self.urls)
        };
        let client = Registry::new(settings).map_err(|error| Failure::usage(format!("registry: {error}")))?;
        Ok(Schemas::Registry(crate::Registry(Arc::new(client))))
    }

    fn auth(&self) -> Result<Auth, Failure> {
        match (&self.user, &self.password, &self.token) {
            (None, None, None) => Ok(Auth::None),
            (Some(user), Some(password), None) => Ok(Auth::Basic { user: user.clone(), password: password.clone() }),
            (None, None, Some(token)) => Ok(Auth::Bearer(token.clone())),
            _ => Err(Failure::usage("registry: want `user` and `password`, or `token`, or none of them")),
        }
    }
}
