//! The settings file of a stack: only what differs from the defaults, that is where things are and the stack's own secrets.

use std::path::PathBuf;

use crate::{files, folder::Folder, processes::Listen, secrets::Secrets, servers::Addresses};

/// The name of the first staff user and of the first operator; their password is among the secrets.
pub const ADMIN_USER: &str = "admin";

/// What a demo sets besides: orders that fail on purpose, retries nobody has to wait for, and who is told.
#[derive(Debug)]
pub struct Rehearsal {
    /// `STEP:SELECTOR:TIMES` each, as the fault switch reads them.
    pub faults: Vec<String>,
    /// Where alerts go, as Standard Webhooks.
    pub webhook_url: String,
    /// What signs them: `whsec_` and base64.
    pub webhook_secret: String,
}

/// Writes `config.yaml` into `folder`, readable by its owner only. What the processes write themselves goes below `data`.
///
/// # Errors
/// When it cannot be written.
pub fn write(
    folder: &Folder,
    data: &str,
    secrets: &Secrets,
    servers: &Addresses,
    listen: &Listen,
    rehearsal: Option<&Rehearsal>,
) -> anyhow::Result<PathBuf> {
    let path = folder.join("config.yaml");
    let file = |name: &str| quoted(&folder.join(data).join(name).display().to_string());
    let text = [
        "# Written by `cargo xtask` at every start; config.example.yaml explains the keys.\nenvironment: development\n".to_owned(),
        processes(secrets, listen),
        places(servers),
        failures(
            &file("alerts"),
            &file("archive.jsonl"),
            &file("compensation.log"),
            &format!("http://{}", listen.admin),
            rehearsal,
        ),
    ];
    files::write_private(&path, &text.concat())?;
    Ok(path)
}

fn processes(secrets: &Secrets, listen: &Listen) -> String {
    let account = format!(
        "{{ username: {}, password: {} }}",
        quoted(ADMIN_USER),
        quoted(&secrets.admin_password)
    );
    format!(
        "auth:\n\
         \x20 token_secret: {}\n\
         seckill_api:\n\
         \x20 listen: {}\n\
         \x20 first_staff: {account}\n\
         admin:\n\
         \x20 listen: {}\n\
         \x20 first_admin: {account}\n\
         order_consumer:\n\
         \x20 listen: {}\n\
         compensator:\n\
         \x20 listen: {}\n",
        quoted(&secrets.token_secret),
        quoted(&listen.seckill_api.to_string()),
        quoted(&listen.admin.to_string()),
        quoted(&listen.order_consumer.to_string()),
        quoted(&listen.compensator.to_string()),
    )
}

fn places(servers: &Addresses) -> String {
    let mysql = &servers.mysql;
    format!(
        "database:\n\
         \x20 mysql: {{ host: {}, port: {}, user: {}, password: {}, name: {} }}\n\
         redis:\n\
         \x20 stock: {{ urls: [{}] }}\n\
         \x20 lock: {{ urls: {} }}\n\
         kafka:\n\
         \x20 brokers: {}\n",
        quoted(&mysql.host),
        mysql.port,
        quoted(&mysql.user),
        quoted(&mysql.password),
        quoted(&mysql.name),
        quoted(&servers.redis_stock),
        list(&servers.redis_lock),
        quoted(&servers.kafka),
    )
}

fn failures(
    spool: &str,
    archive: &str,
    attempts: &str,
    pages: &str,
    rehearsal: Option<&Rehearsal>,
) -> String {
    let pages = quoted(pages);
    let (retries, dead_letters, told, faults) = match rehearsal {
        None => Default::default(),
        Some(rehearsal) => (
            "\x20 log_storage: both\n\x20 retry_delay: [\"0.5\", \"1\"]\n",
            "\x20 retry_delay: [\"1\"]\n",
            format!(
                "\x20 channels:\n\x20   - {{ name: demo, kind: webhook, url: {}, secret: {} }}\n",
                quoted(&rehearsal.webhook_url),
                quoted(&rehearsal.webhook_secret)
            ),
            format!("faults: {}\n", list(&rehearsal.faults)),
        ),
    };
    format!(
        "compensation:\n\
         \x20 log_file: {attempts}\n\
         {retries}\
         dlq:\n\
         \x20 archive_file: {archive}\n\
         {dead_letters}\
         alerts:\n\
         \x20 spool: {spool}\n\
         \x20 pages: {pages}\n\
         {told}\
         {faults}"
    )
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_quotes_stays_one_value() {
        assert_eq!(quoted("a\"b: #c"), r#""a\"b: #c""#);
    }

    #[test]
    fn only_a_rehearsal_breaks_orders() {
        let rehearsal = Rehearsal {
            faults: vec!["decide:remark=x:2".to_owned()],
            webhook_url: "http://127.0.0.1:1/".to_owned(),
            webhook_secret: "whsec_".to_owned(),
        };
        let text = |rehearsal| failures("s", "a", "l", "http://127.0.0.1:1", rehearsal);
        assert!(!text(None).contains("faults") && !text(None).contains("retry_delay"));
        assert!(text(Some(&rehearsal)).ends_with("faults: [\"decide:remark=x:2\"]\n"));
    }
}
