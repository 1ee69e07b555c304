//! The admin's JSON API, asked by a program: where it listens, who asks, and what it answers, in words where it refuses.
//!
//! Whatever a page can do, the API can, and so can this program: it has no rules of its own.

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::{Method, Response, Url};
use serde_json::Value;
use std::{env, time::Duration};

/// Where the admin listens, and what lets one in.
const ADMIN: &str = "REDRESSCTL_ADMIN";
const TOKEN: &str = "REDRESSCTL_TOKEN";
/// As the settings have it by themselves.
const USUAL_ADMIN: &str = "http://127.0.0.1:8081";
/// How long the admin may be silent.
const SILENT_AT_MOST: Duration = Duration::from_mins(1);

/// Which admin is asked.
///
/// The variable `REDRESSCTL_TOKEN` is who asks: a personal token, or the token of a log-in (`POST /api/v1/sessions`). It is no option,
/// for options are seen by everyone on the machine.
#[derive(Debug, Clone, Default, Args)]
pub struct Where {
    /// Where the admin listens; or the variable `REDRESSCTL_ADMIN`. By itself `http://127.0.0.1:8081`
    #[arg(long, value_name = "URL")]
    pub(crate) admin: Option<String>,
}

/// An admin, and who asks it.
pub(crate) struct Admin {
    url: Url,
    token: String,
    client: reqwest::Client,
}

/// Rows of a list.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub rows: Vec<Value>,
    /// Whether there are more.
    pub more: bool,
}

impl Where {
    /// # Errors
    /// When nobody is named who asks, or the address is none.
    pub(crate) fn admin(&self) -> anyhow::Result<Admin> {
        let admin = self.admin.clone().or_else(|| said(ADMIN));
        let admin = admin.unwrap_or_else(|| USUAL_ADMIN.to_owned());
        let url = Url::parse(admin.trim().trim_end_matches('/'))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .with_context(|| {
                format!("{admin} is no address: it begins with http:// or https://")
            })?;
        let token = said(TOKEN).with_context(|| {
            format!("who asks? Set {TOKEN} to a personal token (the admin's page /tokens) or to the access_token of POST /api/v1/sessions")
        })?;
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENT_AT_MOST)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("nothing can be asked from here")?;
        Ok(Admin { url, token, client })
    }
}

impl Admin {
    /// What is at `/api/v1/{path}`.
    ///
    /// # Errors
    /// When the admin does not answer, or refuses: why.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        parsed(self.answer(Method::GET, path, query, None).await?).await
    }

    /// The same, byte for byte: numbers too large for a program stay what they are.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.answer(Method::GET, path, &[], None).await?;
        answer.text().await.context("the answer broke off")
    }

    /// The whole answer of a long export, piece by piece.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) async fn export(&self, path: &str) -> anyhow::Result<Response> {
        self.answer(Method::GET, path, &[], None).await
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// As [`Self::get`]; also when it is not known whether it was done.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        parsed(self.answer(Method::POST, path, &[], Some(body)).await?).await
    }

    /// Has something replaced.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        parsed(self.answer(Method::PUT, path, &[], Some(body)).await?).await
    }

    /// Rows of a list, page after page, at most `limit`. A page may have none and not be the last: what is rare among very many rows is
    /// looked for piece by piece. `cursor` is the name of the parameter that says where a page begins.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) async fn rows(
        &self,
        path: &str,
        query: &[(&str, String)],
        cursor: &str,
        limit: usize,
    ) -> anyhow::Result<Rows> {
        let mut found = Rows::default();
        let mut query = query.to_vec();
        let filters = query.len();
        loop {
            let mut page = self.get(path, &query).await?;
            if let Some(items) = page["items"].as_array_mut() {
                found.rows.append(items);
            }
            let next = page["next"].as_str().map(str::to_owned);
            found.more = next.is_some() || found.rows.len() > limit;
            let Some(next) = next.filter(|_| found.rows.len() < limit) else {
                found.rows.truncate(limit);
                return Ok(found);
            };
            query.truncate(filters);
            query.push((cursor, next));
        }
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> anyhow::Result<Response> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{} is no address of an admin", self.url))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path.split('/'));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let asked = self.client.request(method, url).bearer_auth(&self.token);
        let asked = match body {
            Some(body) => asked.json(body),
            None => asked,
        };
        let answer = asked
            .send()
            .await
            .with_context(|| format!("the admin does not answer at {}", self.url))?;
        match answer.status().as_u16() {
            200..300 => Ok(answer),
            401 => bail!("the admin knows no such log-in: {TOKEN} is wrong, or it has ended"),
            status => {
                let problem: Value = answer.json().await.unwrap_or_default();
                let why = problem["detail"].as_str().unwrap_or("no reason was given");
                bail!("the admin answers {status}: {}", super::table::visible(why))
            }
        }
    }
}

/// The answer's JSON; null where it has no body.
async fn parsed(answer: Response) -> anyhow::Result<Value> {
    let text = answer.text().await.context("the answer broke off")?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).context("what answers there is no admin: its answer is no JSON")
}

fn said(variable: &str) -> Option<String> {
    let word = env::var(variable).ok()?;
    Some(word.trim().to_owned()).filter(|word| !word.is_empty())
}
