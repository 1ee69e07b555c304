//! What must be there before buyers come: a product, a sale, and the buyers' accounts.

use crate::http::{BEARER, Connection};
use anyhow::{Context, ensure};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use hyper::body::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use sqlx::{Connection as _, MySqlConnection, QueryBuilder};
use std::{fs, path::Path, time::Duration};
use uuid::Uuid;

/// Accounts written by one statement.
const ROWS: usize = 1_000;
/// How often a step is asked again while the stack is not ready.
const TRIES: u32 = 30;

/// What the load needs of `endpoints.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoints {
    /// `http://host:port` of seckill-api.
    pub api: String,
    /// `mysql://user:password@host:port/name`.
    pub mysql: String,
    /// A user who is staff.
    pub admin_user: String,
    /// Their password.
    pub admin_password: String,
}

impl Endpoints {
    /// Reads the file that `cargo xtask up` leaves.
    ///
    /// # Errors
    /// It is not there, or lacks something.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            fs::read(path).with_context(|| format!("cannot read endpoints {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not an endpoints file", path.display()))
    }
}

/// The sale that buyers are to come to.
#[derive(Debug, Clone, Copy)]
pub struct SaleTerms {
    /// Units on offer.
    pub units: u32,
    /// Units one buyer may have.
    pub per_user_limit: u32,
}

#[derive(Deserialize)]
struct Session {
    access_token: String,
}

#[derive(Deserialize)]
struct Made {
    id: Uuid,
}

/// Logs in as staff and opens a sale of a new product, over HTTP as anybody would.
///
/// # Errors
/// The API refuses, or is not there.
pub async fn open_sale(endpoints: &Endpoints, terms: SaleTerms) -> anyhow::Result<Uuid> {
    let mut api = Connection::new(&endpoints.api)?;
    let login = json!({ "username": endpoints.admin_user, "password": endpoints.admin_password });
    let session: Session = make(&mut api, "/api/v1/sessions", None, &login).await?;
    let bearer = format!("Bearer {}", session.access_token);
    let product = json!({ "name": "Bench", "description": "Sold by the bench", "price": 999 });
    let product: Made = make(&mut api, "/api/v1/products", Some(&bearer), &product).await?;
    let now: DateTime<Utc> = Utc::now().trunc_subsecs(0);
    let sale = json!({
        "product_id": product.id,
        "price": 499,
        "total": terms.units,
        "per_user_limit": terms.per_user_limit,
        "starts_at": now - TimeDelta::minutes(1),
        "ends_at": now + TimeDelta::days(1),
    });
    let sale: Made = make(&mut api, "/api/v1/sales", Some(&bearer), &sale).await?;
    Ok(sale.id)
}

/// Posts until it is taken; a 503 or a lost connection is asked again, for none of these steps matters if done twice.
async fn make<T: DeserializeOwned>(
    api: &mut Connection,
    path: &str,
    bearer: Option<&str>,
    body: &serde_json::Value,
) -> anyhow::Result<T> {
    let body = Bytes::from(body.to_string());
    let mut tries = 0;
    loop {
        tries += 1;
        let headers: Vec<(&str, &str)> = bearer.iter().map(|&bearer| (BEARER, bearer)).collect();
        match api.post(path, &headers, body.clone()).await {
            Ok(reply) if reply.status == 503 && tries < TRIES => {}
            Ok(reply) => {
                let text = String::from_utf8_lossy(&reply.body);
                ensure!(
                    matches!(reply.status, 200 | 201),
                    "POST {path} was answered {}: {text}",
                    reply.status
                );
                return serde_json::from_slice(&reply.body)
                    .with_context(|| format!("POST {path} was answered with {text}"));
            }
            Err(_) if tries < TRIES => {}
            Err(none) => return Err(none).with_context(|| format!("POST {path}")),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Writes `count` new buyers' accounts, nobody of whom can log in, and returns their ids.
///
/// # Errors
/// MySQL refuses.
pub async fn seed_buyers(mysql: &str, count: usize) -> anyhow::Result<Vec<Uuid>> {
    let mut db = MySqlConnection::connect(mysql)
        .await
        .context("cannot connect to MySQL")?;
    let buyers: Vec<Uuid> = std::iter::repeat_with(Uuid::now_v7).take(count).collect();
    let now = Utc::now().trunc_subsecs(3);
    let mut tx = db.begin().await?;
    for some in buyers.chunks(ROWS) {
        QueryBuilder::new(
            "insert into users (id, username, email, password_hash, role, created_at) ",
        )
        .push_values(some, |mut row, id| {
            let name = format!("buyer-{}", id.simple());
            row.push_bind(id)
                .push_bind(name.clone())
                .push_bind(format!("{name}@bench.invalid"))
                .push("'!', 'buyer'")
                .push_bind(now);
        })
        .build()
        .persistent(false)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(buyers)
}
