//! Makes the schema if it is missing, and brings it up to date: `migrations --config FILE`.

use anyhow::Context as _;
use clap::Parser;
use service_kit::{exit, mysql, settings::Settings};
use sqlx::{Connection as _, Executor as _, MySqlConnection};
use std::{path::PathBuf, process::ExitCode};

/// Brings the schema up to date.
#[derive(Parser)]
struct Arguments {
    /// The settings file.
    #[arg(long)]
    config: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit::code("migrations", run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = Settings::load(arguments.config.as_deref())?.database.mysql;
    anyhow::ensure!(
        settings
            .name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_'),
        "database.mysql.name may have letters, digits and underscores only"
    );
    let mut server = MySqlConnection::connect_with(&mysql::options(&settings).database(""))
        .await
        .with_context(|| {
            format!(
                "MySQL at {}:{} does not answer",
                settings.host, settings.port
            )
        })?;
    let make = format!(
        "create database if not exists {} character set utf8mb4 collate utf8mb4_bin",
        settings.name
    );
    server
        .execute(sqlx::AssertSqlSafe(make))
        .await
        .context("the schema could not be made")?;
    migrations::run(&mysql::connect(&settings).await?).await
}
