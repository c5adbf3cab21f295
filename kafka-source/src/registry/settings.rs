//! [`RegistrySettings`]: where a registry is and how it is asked.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};

/// How a client says who it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// By name and password (Confluent Cloud: an API key and its secret).
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// By a token.
    Bearer(String),
}

/// Without the secrets.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

/// Where a registry is and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Its addresses, asked in turn: `https://host:port`, for Apicurio with `/apis/ccompat/v7`.
    pub urls: Vec<String>,
    /// Who we are.
    pub auth: Auth,
    /// Apicurio's own API (`https://host:port/apis/registry/v2`), which alone knows its eight-byte ids.
    pub apicurio: Option<String>,
    /// How long one request may take.
    pub timeout: Duration,
    /// How often a registry is asked that does not answer.
    pub attempts: u32,
    /// The pause after the first try; each further is twice as long, up to thirty seconds.
    pub first_pause: Duration,
    /// How long it is remembered that there is no schema of an id.
    pub absent_for: Duration,
}

impl RegistrySettings {
    /// With ten seconds for a request, six tries that begin half a second apart, and a minute's memory of what is absent.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            auth: Auth::None,
            apicurio: None,
            timeout: Duration::from_secs(10),
            attempts: 6,
            first_pause: Duration::from_millis(500),
            absent_for: Duration::from_secs(60),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.urls.is_empty() || self.attempts == 0 {
            return Err(Error::setting("urls, attempts", "at least one"));
        }
        for (name, url) in
            self.urls.iter().map(|url| ("urls", url)).chain(self.apicurio.iter().map(|url| ("apicurio", url)))
        {
            let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
                return Err(Error::setting(name, "addresses that begin with http:// or https://"));
            };
            // They would stand in errors.
            if rest.split('/').next().is_some_and(|host| host.contains('@')) || rest.contains(['?', '#']) {
                return Err(Error::setting(name, "addresses without name, password or query: give those in `auth`"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_no_secrets() {
        let check = |url: &str| RegistrySettings::new([url]).check().map_err(|e| e.to_string());
        assert_eq!(check("https://host:8081/apis/ccompat/v7"), Ok(()));
        for wrong in ["host:8081", "http://hunter2:x@host", "https://host?key=hunter2", "ftp://host"] {
            let error = check(wrong).unwrap_err();
            assert!(error.starts_with("setting `urls`") && !error.contains("hunter2"), "{error}");
        }
        assert!(RegistrySettings::new([""; 0]).check().is_err());
        let apicurio = RegistrySettings { apicurio: Some("host".to_owned()), ..RegistrySettings::new(["http://h"]) };
        assert!(apicurio.check().is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let auth = Auth::Basic { user: "hunter2".to_owned(), password: "hunter2".to_owned() };
        let settings = RegistrySettings { auth, ..RegistrySettings::new(["http://h"]) };
        assert!(!format!("{settings:?} {:?}", Auth::Bearer("hunter2".to_owned())).contains("hunter2"));
    }
}
