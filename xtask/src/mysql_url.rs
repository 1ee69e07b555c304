//! `mysql://user:password@host:port/name`, taken apart and put together. Users and passwords are percent-encoded in it.

use std::{fmt, str::FromStr};

use anyhow::{Context as _, bail};

/// Where a database is and who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlUrl {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub name: String,
}

impl FromStr for MysqlUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        parse(text).context("a MySQL address looks like mysql://user:password@host:port/name")
    }
}

fn parse(text: &str) -> anyhow::Result<MysqlUrl> {
    let rest = text
        .strip_prefix("mysql://")
        .context("it does not begin with mysql://")?;
    let (who, place) = rest.rsplit_once('@').context("there is no @")?;
    let (user, password) = who.split_once(':').unwrap_or((who, ""));
    let (place, name) = place
        .split_once('/')
        .context("the name of the database is missing")?;
    let (host, port) = place.rsplit_once(':').unwrap_or((place, "3306"));
    if host.is_empty() || name.is_empty() {
        bail!("host or name is empty");
    }
    Ok(MysqlUrl {
        host: host.to_owned(),
        port: port.parse().context("the port is not a number")?,
        user: decode(user)?,
        password: decode(password)?,
        name: name.to_owned(),
    })
}

impl fmt::Display for MysqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            user,
            password,
            name,
        } = self;
        write!(
            f,
            "mysql://{}:{}@{host}:{port}/{name}",
            encode(user),
            encode(password)
        )
    }
}

fn decode(text: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = after.get(..2).context("a % without two digits")?;
            bytes.push(
                u8::from_str_radix(std::str::from_utf8(digits)?, 16)
                    .context("a % without two digits")?,
            );
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    Ok(String::from_utf8(bytes)?)
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_being_taken_apart_and_put_together() {
        let text = "mysql://redress:p%40ss%3Aw%C3%B6rd@127.0.0.1:3307/redress";
        let url: MysqlUrl = text.parse().unwrap();
        assert_eq!(url.password, "p@ss:wörd");
        assert_eq!(url.to_string(), text);
    }

    #[test]
    fn the_port_is_3306_when_it_is_left_out() {
        assert_eq!(
            "mysql://u:p@db/shop".parse::<MysqlUrl>().unwrap().port,
            3306
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "redis://a",
            "mysql://u:p@h:1",
            "mysql://u:p@:1/n",
            "mysql://u:p@h:x/n",
            "mysql://u:%4@h/n",
        ] {
            assert!(text.parse::<MysqlUrl>().is_err(), "{text}");
        }
    }
}
