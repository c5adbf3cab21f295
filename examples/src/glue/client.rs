//! [`syncer`]: what syncs to AWS's Glue, as a file says; with the feature `glue`.

use std::sync::Arc;

use hudi_writer::Clock;

use super::syncer::Syncer;
use crate::Failure;
use crate::config::GlueConfig;

/// What syncs, if anything is said of it. Whether credentials and rights are as they should be shows at the first call.
///
/// # Errors
/// What is wrong, by its name in the file; and where this program was built without the feature `glue`.
#[cfg(feature = "glue")]
pub async fn syncer(of: Option<&GlueConfig>, clock: Arc<dyn Clock>) -> Result<Option<Syncer>, Failure> {
    use glue_catalog::aws::{ClientSettings, GlueClient};
    let Some(of) = of else { return Ok(None) };
    let targets = of.targets()?;
    let client = ClientSettings {
        region: of.region.clone(),
        endpoint: of.endpoint.clone(),
        role_arn: of.role_arn.clone(),
        external_id: of.external_id.clone(),
    };
    Ok(Some(Syncer::new(Arc::new(GlueClient::new(&client).await), clock, targets)))
}

/// What syncs, if anything is said of it: this program was built without.
///
/// # Errors
/// Where anything is said of it.
#[cfg(not(feature = "glue"))]
#[allow(clippy::unused_async, reason = "with the feature, it is asked where AWS is")]
pub async fn syncer(of: Option<&GlueConfig>, _: Arc<dyn Clock>) -> Result<Option<Syncer>, Failure> {
    of.map_or(Ok(None), |_| Err(crate::config::without_glue()))
}
