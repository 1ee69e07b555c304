//! Where things are in this checkout.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// The checkout and cargo's target folder, which need not be inside it.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    build: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// # Errors
    /// When cargo cannot tell.
    pub fn find() -> anyhow::Result<Self> {
        let here = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let output = Command::new(cargo())
            .args([
                "metadata",
                "--format-version=1",
                "--no-deps",
                "--offline",
                "--quiet",
            ])
            .current_dir(here)
            .output()
            .context("cannot run cargo")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        Ok(Self {
            root: metadata.workspace_root,
            build: metadata.target_directory,
        })
    }

    /// The checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the launcher itself keeps. In the checkout even when cargo builds elsewhere: two checkouts may share that place.
    pub fn kept(&self, name: &str) -> PathBuf {
        self.root.join("target").join(name)
    }

    /// A program of ours as the release build leaves it.
    pub fn release_binary(&self, name: &str) -> PathBuf {
        self.build.join("release").join(name)
    }

    /// A program of ours as a plain build leaves it.
    pub fn debug_binary(&self, name: &str) -> PathBuf {
        self.build.join("debug").join(name)
    }
}

/// The cargo that runs us, or the one in the path.
pub fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
