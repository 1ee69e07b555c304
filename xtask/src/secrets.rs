//! Passwords of one stack: made at its first start, kept with its data, never in the repository.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read as _},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{files, folder::Folder};

/// What must not change between two starts on the same data.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// Signs the buyers' tokens; 64 characters.
    pub token_secret: String,
    pub mysql_password: String,
    /// Of the first staff user.
    pub admin_password: String,
}

impl Secrets {
    /// Those kept in `folder`, or new ones.
    ///
    /// # Errors
    /// When the file can neither be read nor written.
    pub fn kept_in(folder: &Folder) -> anyhow::Result<Self> {
        let path = folder.join("secrets.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secrets = Self {
                    token_secret: random(32)?,
                    mysql_password: random(12)?,
                    admin_password: random(12)?,
                };
                files::write_private(&path, &serde_json::to_string_pretty(&secrets)?)?;
                Ok(secrets)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

/// Random bytes as two hexadecimal digits each.
///
/// # Errors
/// When the system gives none.
pub fn random(bytes: usize) -> io::Result<String> {
    let mut noise = vec![0; bytes];
    File::open("/dev/urandom")?.read_exact(&mut noise)?;
    Ok(noise.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
