//! What a sync to Glue is told.

use glue_catalog::SyncSettings;

use super::file::{Config, GlueConfig};
use crate::Failure;
use crate::glue::{GlueTargets, NameTemplate};

impl GlueConfig {
    /// What tables are to be in Glue.
    ///
    /// # Errors
    /// What is wrong, by its name in the file.
    pub fn targets(&self) -> Result<GlueTargets, Failure> {
        let template = |name: &str, text: &str| -> Result<NameTemplate, Failure> {
            text.parse().map_err(|want| Failure::usage(format!("glue.{name}: {want}")))
        };
        let database = self.database.as_deref().ok_or_else(|| Failure::usage("glue.database: want the database"))?;
        let table = self.table.as_deref().map(|text| template("table", text)).transpose()?.unwrap_or_default();
        let usual = SyncSettings {
            catalog_id: self.catalog_id.clone(),
            create_database: self.create_database != Some(false),
            native_connector: self.native_connector,
            parameters: self.parameters.clone(),
            ..SyncSettings::new(database)
        };
        if self.external_id.is_some() && self.role_arn.is_none() {
            return Err(Failure::usage("glue.external_id: says nothing without `role_arn`"));
        }
        Ok(GlueTargets { database: template("database", database)?, table, usual })
    }
}

/// What is asked for takes another build.
pub(crate) fn without_glue() -> Failure {
    Failure::usage("glue: this program was built without the feature glue")
}

impl Config {
    /// Whether tables can be in Glue as it is said, if anything is said of it.
    ///
    /// # Errors
    /// What is wrong, by its name in the file; and where this program was built without what it takes.
    pub(crate) fn check_glue(&self) -> Result<(), Failure> {
        let Some(glue) = &self.glue else { return Ok(()) };
        if !cfg!(feature = "glue") {
            return Err(without_glue());
        }
        self.verify_places()?;
        glue.targets().map(drop)
    }

    fn verify_places(&self) -> Result<(), Failure> {
        let mut urls = self.overrides.iter().chain([&self.tables]).filter_map(|table| table.url.as_deref());
        let is_in_s3 = |url: &&str| ["s3://", "s3a://", "s3n://"].iter().any(|scheme| url.starts_with(scheme));
        match urls.find(|url| !is_in_s3(url)) {
            Some(url) => Err(Failure::usage(format!("glue: {url} is nothing to Athena, which reads s3:// only"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: GlueConfig) -> String {
        config.targets().unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_told_by_its_name() {
        let database = || Some("shop".to_owned());
        assert!(refused(GlueConfig::default()).starts_with("glue.database: "));
        let table = Some("{schema}".to_owned());
        assert!(
            refused(GlueConfig { database: database(), table, ..GlueConfig::default() }).starts_with("glue.table: ")
        );
        let external_id = Some("x".to_owned());
        let config = GlueConfig { database: database(), external_id, ..GlueConfig::default() };
        assert!(refused(config).starts_with("glue.external_id: "));
        let unknown = Config::parse("[glue]\ndatabas = \"shop\"", &|_| None).unwrap_err();
        assert!(unknown.contains("did you mean `database`?"), "{unknown}");
    }

    #[test]
    fn without_a_word_of_glue_nothing_is_to_be_there() {
        Config::default().check_glue().unwrap();
        let said = Config { glue: Some(GlueConfig::default()), ..Config::default() };
        assert!(said.check_glue().unwrap_err().to_string().starts_with("glue"));
    }

    #[test]
    fn tables_that_athena_cannot_read_are_refused() {
        let places =
            |text: &str| Config::parse(text, &|_| None).unwrap().verify_places().map_err(|told| told.to_string());
        assert_eq!(places("[tables]\nurl = \"s3://lake/{table}\""), Ok(()));
        let told = places("[tables]\nurl = \"s3://lake/{table}\"\n[[override]]\ntopics = [\"t\"]\nurl = \"/lake/t\"");
        assert!(told.unwrap_err().contains("/lake/t is nothing to Athena"));
    }
}
