//! Reads the settings: the file first, then the environment.

use super::Settings;
use config::{Config, Environment, File, FileFormat};
use std::{collections::HashMap, path::Path};

/// Where the file is looked for when no other is named; there it may be missing.
const DEFAULT_FILE: &str = "config.yaml";

/// Why the settings cannot be used. One line.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read, or a key or value in it or in the environment is not known.
    #[error("settings: {0}")]
    Unreadable(#[from] config::ConfigError),
    /// Each value is fine alone, together they are not.
    #[error("settings: {0}")]
    Contradiction(String),
}

impl Settings {
    /// Reads `file` (without one `./config.yaml`, which may be missing), then the environment, and checks the whole.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let source = match file {
            Some(path) => File::from(path).format(FileFormat::Yaml),
            None => File::from(Path::new(DEFAULT_FILE))
                .format(FileFormat::Yaml)
                .required(false),
        };
        Self::build(Config::builder().add_source(source), None)
    }

    /// The same from a text and from given variables instead of the process's own.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn parse(yaml: &str, environment: HashMap<String, String>) -> Result<Self, SettingsError> {
        Self::build(
            Config::builder().add_source(File::from_str(yaml, FileFormat::Yaml)),
            Some(environment),
        )
    }

    fn build(
        builder: config::ConfigBuilder<config::builder::DefaultState>,
        environment: Option<HashMap<String, String>>,
    ) -> Result<Self, SettingsError> {
        // Never parsed into numbers: the password "00123" would become 123.
        let variables = Environment::with_prefix("REDRESS")
            .separator("__")
            .source(environment);
        let settings: Self = builder.add_source(variables).build()?.try_deserialize()?;
        settings.check()?;
        Ok(settings)
    }
}
