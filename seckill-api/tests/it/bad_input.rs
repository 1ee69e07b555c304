//! Bad input gets the right problem and changes nothing.

use crate::app::{SECRET, TestApp, answer};
use identity::UserId;
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const NOBODY: &str = "018f0000-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_bad_body_gets_the_right_problem_and_changes_nothing() {
    let app = TestApp::start().await;
    let sale = app.sale(10, 10).await;
    let before = app.state(&sale).await;
    let (path, buyer) = (format!("/api/v1/sales/{sale}/orders"), app.buyer());
    let long = format!(r#"{{"quantity":1,"remark":"{}"}}"#, "x".repeat(70 * 1024));
    let wordy = json!({"quantity": 1, "remark": "x".repeat(501)}).to_string();
    for (body, status, code) in [
        ("not json", 400, "malformed"),
        ("", 400, "malformed"),
        (r#"{"quantity":1"#, 400, "malformed"),
        ("[1]", 422, "invalid"),
        ("1", 422, "invalid"),
        ("null", 422, "invalid"),
        ("{}", 422, "invalid"),
        (r#"{"quantity":1,"price":1}"#, 422, "invalid"),
        (r#"{"quantity":0}"#, 422, "invalid"),
        (r#"{"quantity":-1}"#, 422, "invalid"),
        (r#"{"quantity":101}"#, 422, "invalid"),
        (r#"{"quantity":2147483648}"#, 422, "invalid"),
        (r#"{"quantity":1.5}"#, 422, "invalid"),
        (r#"{"quantity":"1"}"#, 422, "invalid"),
        (r#"{"quantity":null}"#, 422, "invalid"),
        (r#"{"quantity":1,"remark":7}"#, 422, "invalid"),
        (&wordy, 422, "invalid"),
        (&long, 413, "too_large"),
    ] {
        let request = app
            .request(Method::POST, &path, Some(&buyer))
            .header("content-type", "application/json");
        answer(request.body(body.to_owned()))
            .await
            .is_problem(status, code);
    }
    let request = app
        .request(Method::POST, &path, Some(&buyer))
        .header("content-type", "text/plain");
    answer(request.body(r#"{"quantity":1}"#))
        .await
        .is_problem(415, "unsupported_media_type");
    for key in ["", "two words", &"k".repeat(129)] {
        app.order(&sale, &buyer, &json!({"quantity": 1}), Some(key))
            .await
            .is_problem(422, "invalid");
    }
    assert_eq!(app.state(&sale).await, before);
}

#[tokio::test]
async fn wrong_paths_and_methods_are_problems_too() {
    let app = TestApp::start().await;
    let (sale, buyer) = (app.sale(10, 10).await, app.buyer());
    let one = json!({"quantity": 1});
    app.get("/api/v1/nothing", None)
        .await
        .is_problem(404, "not_found");
    app.get("/", None).await.is_problem(404, "not_found");
    app.get("/api-docs/nothing", None)
        .await
        .is_problem(404, "not_found");
    app.get(&format!("/api/v1/sales/{sale}/orders"), Some(&buyer))
        .await
        .is_problem(405, "method_not_allowed");
    app.post("/health/live", None, &one)
        .await
        .is_problem(405, "method_not_allowed");
    app.order("not-a-uuid", &buyer, &one, None)
        .await
        .is_problem(400, "malformed_id");
    app.order(NOBODY, &buyer, &one, None)
        .await
        .is_problem(404, "sale_not_found");
    for path in [
        "/api/v1/sales/x",
        "/api/v1/sales/x/stock",
        "/api/v1/products/x",
        "/api/v1/orders/x",
    ] {
        app.get(path, Some(&buyer))
            .await
            .is_problem(400, "malformed_id");
    }
    app.get(&format!("/api/v1/sales/{NOBODY}"), None)
        .await
        .is_problem(404, "sale_not_found");
    app.get(&format!("/api/v1/sales/{NOBODY}/stock"), None)
        .await
        .is_problem(404, "sale_not_found");
    app.get(&format!("/api/v1/products/{NOBODY}"), None)
        .await
        .is_problem(404, "not_found");
    app.get(&format!("/api/v1/orders/{NOBODY}"), Some(&buyer))
        .await
        .is_problem(404, "not_found");
    let upper = sale.to_uppercase();
    assert_eq!(
        app.get(&format!("/api/v1/sales/{upper}"), None)
            .await
            .status,
        200,
        "any form of a UUID parses"
    );
}

#[tokio::test]
async fn only_a_token_of_ours_that_is_still_good_is_taken() {
    let app = TestApp::start().await;
    let sale = app.sale(10, 10).await;
    let before = app.state(&sale).await;
    let now = chrono::Utc::now().timestamp();
    let made = |secret: &str, exp: i64, algorithm| {
        let claims = json!({"sub": UserId::fresh().to_string(), "role": "buyer", "iat": now - 100, "exp": exp});
        jsonwebtoken::encode(
            &Header::new(algorithm),
            &claims,
            &EncodingKey::from_secret(secret.as_bytes()),
        )
        .expect("a token")
    };
    let good = made(SECRET, now + 60, jsonwebtoken::Algorithm::HS256);
    let mut parts = good.split('.');
    let (head, payload, signature) = (
        parts.next().expect("a head"),
        parts.next().expect("a payload"),
        parts.next().expect("a signature"),
    );
    let staff = app.staff();
    let of_staff = staff.split('.').nth(1).expect("a payload");
    for (what, token) in [
        (
            "expired",
            made(SECRET, now - 10, jsonwebtoken::Algorithm::HS256),
        ),
        (
            "wrong key",
            made(
                "another secret that is 32 bytes or more",
                now + 60,
                jsonwebtoken::Algorithm::HS256,
            ),
        ),
        (
            "another algorithm",
            made(SECRET, now + 60, jsonwebtoken::Algorithm::HS512),
        ),
        ("forged", format!("{head}.{of_staff}.{signature}")),
        (
            "alg none",
            format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}."),
        ),
        (
            "alg none, signed",
            format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.{signature}"),
        ),
        ("cut off", format!("{head}.{payload}")),
        ("no token", String::new()),
        ("words", "hello".to_owned()),
    ] {
        let refused = app
            .order(&sale, &token, &json!({"quantity": 1}), None)
            .await;
        assert_eq!(refused.status, 401, "{what}: {refused:?}");
        refused.is_problem(401, "unauthorized");
    }
    app.post(
        &format!("/api/v1/sales/{sale}/orders"),
        None,
        &json!({"quantity": 1}),
    )
    .await
    .is_problem(401, "unauthorized");
    let basic = app
        .request(Method::GET, "/api/v1/orders", None)
        .header("authorization", format!("Basic {good}"));
    answer(basic).await.is_problem(401, "unauthorized");
    assert_eq!(app.state(&sale).await, before);
    assert_eq!(
        app.order(&sale, &good, &json!({"quantity": 1}), None)
            .await
            .status,
        202,
        "the good one is"
    );
}

#[tokio::test]
async fn the_token_is_checked_first_then_the_role_then_the_sale_then_the_body() {
    let app = TestApp::start().await;
    let (sale, buyer) = (app.sale(10, 10).await, app.buyer());
    let send = async |path: &str, token: Option<&str>| {
        let request = app
            .request(Method::POST, path, token)
            .header("content-type", "application/json");
        answer(request.body("not json")).await
    };
    let orders = |sale: &str| format!("/api/v1/sales/{sale}/orders");
    send(&orders("x"), None)
        .await
        .is_problem(401, "unauthorized");
    send(&orders(NOBODY), None)
        .await
        .is_problem(401, "unauthorized");
    send(&orders(NOBODY), Some(&buyer))
        .await
        .is_problem(404, "sale_not_found");
    send(&orders(&sale), Some(&buyer))
        .await
        .is_problem(400, "malformed");
    for staff_only in ["/api/v1/products", "/api/v1/sales"] {
        send(staff_only, None).await.is_problem(401, "unauthorized");
        send(staff_only, Some(&buyer))
            .await
            .is_problem(403, "forbidden");
        send(staff_only, Some(&app.staff()))
            .await
            .is_problem(400, "malformed");
    }
}

#[tokio::test]
async fn the_order_of_another_is_not_there() {
    let app = TestApp::start().await;
    let (sale, ann, bob) = (app.sale(10, 1).await, app.buyer(), app.buyer());
    let order = app
        .order(&sale, &ann, &json!({"quantity": 1}), None)
        .await
        .text("order_id");
    let path = format!("/api/v1/orders/{order}");
    assert_eq!(app.get(&path, Some(&ann)).await.status, 200);
    app.get(&path, Some(&bob))
        .await
        .is_problem(404, "not_found");
    app.get(&path, None).await.is_problem(401, "unauthorized");
}

#[tokio::test]
async fn a_key_with_another_body_is_refused_and_changes_nothing() {
    let app = TestApp::start().await;
    let (sale, buyer) = (app.sale(10, 10).await, app.buyer());
    let first = app
        .order(&sale, &buyer, &json!({"quantity": 1}), Some("k"))
        .await;
    assert_eq!(first.status, 202, "{first:?}");
    let before = app.state(&sale).await;
    for other in [
        json!({"quantity": 2}),
        json!({"quantity": 1, "remark": "x"}),
    ] {
        app.order(&sale, &buyer, &other, Some("k"))
            .await
            .is_problem(422, "idempotency_conflict");
    }
    assert_eq!(app.state(&sale).await, before);
    let another = app
        .order(&sale, &app.buyer(), &json!({"quantity": 2}), Some("k"))
        .await;
    assert_eq!(another.status, 202, "a key is its buyer's own: {another:?}");
}

#[tokio::test]
async fn bad_products_sales_and_pages_are_refused() {
    let app = TestApp::start().await;
    let (staff, product) = (app.staff(), app.product().await);
    let good = json!({
        "product_id": product, "price": 1, "total": 1, "per_user_limit": 1,
        "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z",
    });
    for (member, bad) in [
        ("product_id", json!(Uuid::new_v4())),
        ("product_id", json!("x")),
        ("price", json!(-1)),
        ("price", json!(1.5)),
        ("total", json!(0)),
        ("total", json!(-1)),
        ("total", json!(2_147_483_648_u32)),
        ("per_user_limit", json!(0)),
        ("starts_at", json!("yesterday")),
        ("starts_at", json!(7)),
        ("ends_at", json!("2026-01-01T00:00:00Z")),
        ("ends_at", json!("9999-12-31T00:00:00Z")),
        ("colour", json!("red")),
        ("total", Value::Null),
    ] {
        let mut sale = good.clone();
        sale[member] = bad.clone();
        let refused = app.post("/api/v1/sales", Some(&staff), &sale).await;
        assert_eq!(refused.status, 422, "{member} {bad}: {refused:?}");
        refused.is_problem(422, "invalid");
    }
    for product in [
        json!({"name": "", "description": "", "price": 1}),
        json!({"name": "x".repeat(201), "description": "", "price": 1}),
        json!({"name": "x", "description": "x".repeat(4001), "price": 1}),
        json!({"name": "x", "description": "", "price": -1}),
        json!({"name": "x", "price": 1}),
    ] {
        app.post("/api/v1/products", Some(&staff), &product)
            .await
            .is_problem(422, "invalid");
    }
    for query in ["page=0", "page=x", "per_page=0", "per_page=101", "size=1"] {
        for list in ["products", "sales", "orders"] {
            app.get(&format!("/api/v1/{list}?{query}"), Some(&staff))
                .await
                .is_problem(422, "invalid");
        }
    }
    app.get("/api/v1/sales?status=gone", None)
        .await
        .is_problem(422, "invalid");
    assert_eq!(
        app.get("/api/v1/sales", None).await.body["total"],
        0,
        "none was made"
    );
}
