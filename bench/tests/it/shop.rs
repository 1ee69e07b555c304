//! A stand-in for seckill-api: it sells what it has, knows a key again, and is unwell when told to be.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;
use uuid::Uuid;

/// How the shop is to misbehave.
#[derive(Clone, Copy, Default)]
pub struct Manners {
    /// Every so-manieth request is answered 503; 0: none.
    pub unavailable_every: usize,
    /// Every so-manieth request is taken, and its connection dropped without an answer; 0: none.
    pub silent_every: usize,
    /// How long each answer takes.
    pub delay: Duration,
}

pub struct Shop {
    pub url: String,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    units: u32,
    requests: usize,
    manners: Manners,
    orders: HashMap<String, Uuid>,
    tokens: HashMap<String, String>,
    remarked: BTreeMap<String, Vec<Uuid>>,
}

impl Shop {
    pub async fn open(units: u32, manners: Manners) -> Self {
        let books = Arc::new(Mutex::new(Books {
            units,
            manners,
            ..Books::default()
        }));
        let router = Router::new()
            .route("/api/v1/sales/{sale}/orders", post(order))
            .with_state(Arc::clone(&books));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, books }
    }

    /// Requests that came.
    pub fn requests(&self) -> usize {
        self.books.lock().unwrap().requests
    }

    /// Orders sold with a remark, by the remark.
    pub fn remarked(&self) -> BTreeMap<String, Vec<Uuid>> {
        self.books.lock().unwrap().remarked.clone()
    }

    /// Orders sold.
    pub fn sold(&self) -> usize {
        self.books.lock().unwrap().orders.len()
    }
}

async fn order(
    State(books): State<Arc<Mutex<Books>>>,
    Path(_sale): Path<Uuid>,
    headers: HeaderMap,
    Json(wanted): Json<serde_json::Value>,
) -> Response {
    let delay = books.lock().unwrap().manners.delay;
    tokio::time::sleep(delay).await;
    assert_eq!(wanted["quantity"], 1);
    let remark = wanted["remark"].as_str();
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let (key, token) = (header("idempotency-key"), header("authorization"));
    assert!(token.starts_with("Bearer "));
    let (answer, silent) = books.lock().unwrap().answer(key, &token, remark);
    // A handler that panics takes its connection down, which is what a buyer sees of a killed server.
    assert!(!silent, "silent on purpose");
    answer
}

impl Books {
    fn answer(&mut self, key: String, token: &str, remark: Option<&str>) -> (Response, bool) {
        self.requests += 1;
        let nth = |every: usize| every != 0 && self.requests.is_multiple_of(every);
        let (unavailable, silent) = (
            nth(self.manners.unavailable_every),
            nth(self.manners.silent_every),
        );
        if unavailable {
            return (problem(StatusCode::SERVICE_UNAVAILABLE, "busy"), silent);
        }
        assert_eq!(
            *self
                .tokens
                .entry(key.clone())
                .or_insert_with(|| token.to_owned()),
            token,
            "a repeat comes from the same buyer"
        );
        let left = self.units;
        let order = match self.orders.get(&key) {
            Some(&order) => order,
            None if left == 0 => return (problem(StatusCode::CONFLICT, "sold_out"), silent),
            None => {
                self.units -= 1;
                let order = *self.orders.entry(key).or_insert_with(Uuid::now_v7);
                if let Some(remark) = remark {
                    let orders = self.remarked.entry(remark.to_owned()).or_default();
                    orders.push(order);
                }
                order
            }
        };
        let queued = json!({ "order_id": order, "status": "processing", "status_url": "" });
        ((StatusCode::ACCEPTED, Json(queued)).into_response(), silent)
    }
}

fn problem(status: StatusCode, code: &str) -> Response {
    (
        status,
        [("retry-after", "0")],
        Json(json!({ "status": status.as_u16(), "code": code })),
    )
        .into_response()
}
