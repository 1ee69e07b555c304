//! Products, sales and stock.

use crate::app::TestApp;
use chrono::{TimeDelta, Utc};
use serde_json::json;

#[tokio::test]
async fn what_staff_makes_everyone_can_read() {
    let app = TestApp::start().await;
    let staff = app.staff();
    let made = app
        .post(
            "/api/v1/products",
            Some(&staff),
            &json!({"name": "lamp", "description": "bright", "price": 1999}),
        )
        .await;
    assert_eq!(
        (made.status, made.location.clone()),
        (201, Some(format!("/api/v1/products/{}", made.id()))),
        "{made:?}"
    );
    let read = app
        .get(&format!("/api/v1/products/{}", made.id()), None)
        .await;
    assert_eq!(read.body, made.body);
    let sale = json!({
        "product_id": made.id(), "price": 999, "total": 7, "per_user_limit": 2,
        "starts_at": "2026-01-01T01:00:00+01:00", "ends_at": "2100-01-01T00:00:00Z",
    });
    let made = app.post("/api/v1/sales", Some(&staff), &sale).await;
    assert_eq!(
        (made.status, made.location.clone()),
        (201, Some(format!("/api/v1/sales/{}", made.id()))),
        "{made:?}"
    );
    assert_eq!(
        made.body["starts_at"], "2026-01-01T00:00:00.000Z",
        "times are UTC"
    );
    assert_eq!(
        app.get(&format!("/api/v1/sales/{}", made.id()), None)
            .await
            .body,
        made.body
    );
    let stock = app
        .get(&format!("/api/v1/sales/{}/stock", made.id()), None)
        .await;
    assert_eq!(
        stock.body,
        json!({"total": 7, "available": 7, "held": 0, "sold": 0})
    );
}

#[tokio::test]
async fn lists_come_in_pages() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        app.product().await;
    }
    let first = app.get("/api/v1/products?per_page=2", None).await;
    let second = app.get("/api/v1/products?page=2&per_page=2", None).await;
    for (page, number, items) in [(&first, 1, 2), (&second, 2, 1)] {
        assert_eq!(
            page.body["items"].as_array().map(Vec::len),
            Some(items),
            "{page:?}"
        );
        assert_eq!(
            (
                &page.body["page"],
                &page.body["per_page"],
                &page.body["total"]
            ),
            (&json!(number), &json!(2), &json!(3))
        );
    }
    let beyond = app.get("/api/v1/products?page=9&per_page=100", None).await;
    assert_eq!((beyond.status, &beyond.body["items"]), (200, &json!([])));
    let far = app
        .get("/api/v1/products?page=4294967295&per_page=100", None)
        .await;
    assert_eq!((far.status, &far.body["items"]), (200, &json!([])));
}

#[tokio::test]
async fn sales_are_live_upcoming_or_ended() {
    let app = TestApp::start().await;
    let (now, hour) = (Utc::now(), TimeDelta::hours(1));
    let live = app.sale_between(1, 1, now - hour, now + hour).await;
    let upcoming = app.sale_between(1, 1, now + hour, now + hour * 2).await;
    let ended = app.sale_between(1, 1, now - hour * 2, now - hour).await;
    for (status, sale) in [("live", &live), ("upcoming", &upcoming), ("ended", &ended)] {
        let listed = app
            .get(&format!("/api/v1/sales?status={status}"), None)
            .await;
        assert_eq!(
            (&listed.body["total"], &listed.body["items"][0]["id"]),
            (&json!(1), &json!(sale)),
            "{listed:?}"
        );
    }
    assert_eq!(app.get("/api/v1/sales", None).await.body["total"], 3);
}
