//! The settings file of a stack: only what differs from the defaults, that is where things are and the stack's own secrets.

use std::path::PathBuf;

use crate::{files, folder::Folder, processes::Listen, secrets::Secrets, servers::Addresses};

/// The first staff user's name; its password is among the secrets.
pub const ADMIN_USER: &str = "admin";

/// Writes `config.yaml` into `folder`, readable by its owner only.
///
/// # Errors
/// When it cannot be written.
pub fn write(
    folder: &Folder,
    secrets: &Secrets,
    servers: &Addresses,
    listen: &Listen,
) -> anyhow::Result<PathBuf> {
    let path = folder.join("config.yaml");
    files::write_private(&path, &text(secrets, servers, listen))?;
    Ok(path)
}

fn text(secrets: &Secrets, servers: &Addresses, listen: &Listen) -> String {
    let mysql = &servers.mysql;
    let locks: Vec<String> = servers.redis_lock.iter().map(|url| quoted(url)).collect();
    format!(
        "# Written by `cargo xtask` at every start; config.example.yaml explains the keys.\n\
         environment: development\n\
         auth:\n\
         \x20 token_secret: {}\n\
         seckill_api:\n\
         \x20 listen: {}\n\
         \x20 first_staff: {{ username: {}, password: {} }}\n\
         order_consumer:\n\
         \x20 listen: {}\n\
         compensator:\n\
         \x20 listen: {}\n\
         database:\n\
         \x20 mysql: {{ host: {}, port: {}, user: {}, password: {}, name: {} }}\n\
         redis:\n\
         \x20 stock: {{ urls: [{}] }}\n\
         \x20 lock: {{ urls: [{}] }}\n\
         kafka:\n\
         \x20 brokers: {}\n",
        quoted(&secrets.token_secret),
        quoted(&listen.seckill_api.to_string()),
        quoted(ADMIN_USER),
        quoted(&secrets.admin_password),
        quoted(&listen.order_consumer.to_string()),
        quoted(&listen.compensator.to_string()),
        quoted(&mysql.host),
        mysql.port,
        quoted(&mysql.user),
        quoted(&mysql.password),
        quoted(&mysql.name),
        quoted(&servers.redis_stock),
        locks.join(", "),
        quoted(&servers.kafka),
    )
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_quotes_stays_one_value() {
        assert_eq!(quoted("a\"b: #c"), r#""a\"b: #c""#);
    }
}
