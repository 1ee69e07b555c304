//! `PATCH /sales/{sale}`: restock, other times, pause; at this instance and at another one.

use crate::app::{TestApp, answer};
use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::eventually;

/// A change is known everywhere within a second; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn one() -> Value {
    json!({"quantity": 1})
}

impl TestApp {
    async fn change(&self, sale: &str, change: &Value) -> crate::app::Answer {
        self.change_as(sale, Some(&self.staff()), change).await
    }

    async fn change_as(
        &self,
        sale: &str,
        token: Option<&str>,
        change: &Value,
    ) -> crate::app::Answer {
        let path = format!("/api/v1/sales/{sale}");
        answer(self.request(Method::PATCH, &path, token).json(change)).await
    }

    async fn terms(&self, sale: &str) -> Value {
        self.get(&format!("/api/v1/sales/{sale}"), None).await.body
    }
}

#[tokio::test]
async fn a_restock_opens_a_sale_that_is_known_to_be_sold_out() {
    let app = TestApp::start().await;
    let other = app.another_instance().await;
    let sale = app.sale(1, 1).await;
    assert_eq!(
        app.order(&sale, &app.buyer(), &one(), None).await.status,
        202
    );
    for instance in [&app.url, &other] {
        for _ in 0..3 {
            app.order_at(instance, &sale, &app.buyer())
                .await
                .is_problem(409, "sold_out");
        }
    }
    let changed = app.change(&sale, &json!({"total": 3})).await;
    assert_eq!(
        (changed.status, &changed.body["total"]),
        (200, &json!(3)),
        "{changed:?}"
    );
    assert_eq!(app.terms(&sale).await, changed.body);
    assert_eq!(
        app.order(&sale, &app.buyer(), &one(), None).await.status,
        202,
        "here at once"
    );
    eventually("the other instance sells again", SOON, || async {
        (app.order_at(&other, &sale, &app.buyer()).await.status == 202).then_some(())
    })
    .await;
    app.order(&sale, &app.buyer(), &one(), None)
        .await
        .is_problem(409, "sold_out");
}

#[tokio::test]
async fn a_pause_refuses_everywhere_at_once_and_its_end_is_noticed() {
    let app = TestApp::start().await;
    let other = app.another_instance().await;
    let sale = app.sale(9, 1).await;
    assert_eq!(app.order_at(&other, &sale, &app.buyer()).await.status, 202);
    let paused = app.change(&sale, &json!({"paused": true})).await;
    assert_eq!(
        (paused.status, &paused.body["state"]),
        (200, &json!("paused"))
    );
    for instance in [&app.url, &other] {
        app.order_at(instance, &sale, &app.buyer())
            .await
            .is_problem(403, "sale_not_open");
    }
    let open = app.change(&sale, &json!({"paused": false})).await;
    assert_eq!((open.status, &open.body["state"]), (200, &json!("open")));
    assert_eq!(
        app.order(&sale, &app.buyer(), &one(), None).await.status,
        202,
        "here at once"
    );
    eventually("the other instance sells again", SOON, || async {
        (app.order_at(&other, &sale, &app.buyer()).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn other_times_hold_at_once() {
    let app = TestApp::start().await;
    let sale = app.sale(9, 1).await;
    let (past, future) = (
        Utc::now() - TimeDelta::minutes(1),
        Utc::now() + TimeDelta::hours(2),
    );
    assert_eq!(
        app.change(&sale, &json!({"ends_at": past})).await.status,
        200
    );
    app.order(&sale, &app.buyer(), &one(), None)
        .await
        .is_problem(403, "sale_not_open");
    assert_eq!(
        app.change(&sale, &json!({"ends_at": future})).await.status,
        200
    );
    assert_eq!(
        app.order(&sale, &app.buyer(), &one(), None).await.status,
        202
    );
    let tomorrow = json!({"starts_at": Utc::now() + TimeDelta::hours(1)});
    assert_eq!(app.change(&sale, &tomorrow).await.status, 200);
    app.order(&sale, &app.buyer(), &one(), None)
        .await
        .is_problem(403, "sale_not_open");
    // Against the time that stays, not only against one in the same request.
    app.change(&sale, &json!({"ends_at": past}))
        .await
        .is_problem(422, "invalid");
}

#[tokio::test]
async fn a_change_that_cannot_be_is_refused_and_changes_nothing() {
    let app = TestApp::start().await;
    let sale = app.sale(9, 9).await;
    app.schema
        .execute("update sale_inventory set available = 5, sold = 4")
        .await;
    let before = (app.terms(&sale).await, app.state(&sale).await);
    for bad in [
        json!({}),
        json!({"total": 0}),
        json!({"total": -1}),
        json!({"total": 1.5}),
        json!({"total": 2_147_483_648_u32}),
        json!({"total": "9"}),
        json!({"total": null}),
        json!({"total": 20, "paused": null}),
        json!({"total": 20, "colour": "red"}),
        json!({"total": 20, "price": 1}),
        json!({"paused": "yes"}),
        json!({"starts_at": "soon"}),
        json!({"ends_at": "9999-12-31T00:00:00Z"}),
        json!({"total": 20, "ends_at": "1999-01-01T00:00:00Z"}),
        json!({"starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}),
        json!([{"total": 20}]),
    ] {
        let refused = app.change(&sale, &bad).await;
        assert_eq!(refused.status, 422, "{bad}: {refused:?}");
        refused.is_problem(422, "invalid");
    }
    let below = app.change(&sale, &json!({"total": 3})).await;
    below.is_problem(409, "below_sold");
    assert_eq!(below.body["sold"], 4);
    let good = json!({"total": 20});
    app.change_as(&sale, Some(&app.buyer()), &good)
        .await
        .is_problem(403, "forbidden");
    app.change_as(&sale, None, &good)
        .await
        .is_problem(401, "unauthorized");
    app.change_as("x", Some(&app.staff()), &good)
        .await
        .is_problem(400, "malformed_id");
    app.change("018f0000-0000-7000-8000-000000000000", &json!({}))
        .await
        .is_problem(404, "sale_not_found");
    assert_eq!((app.terms(&sale).await, app.state(&sale).await), before);
}

#[tokio::test]
async fn a_change_stands_while_redis_does_not_take_it() {
    let app = TestApp::start().await;
    let sale = app.sale(1, 1).await;
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut app.stock.connection().await)
        .await
        .expect("Redis forgets");
    let changed = app.change(&sale, &json!({"total": 5})).await;
    assert_eq!(
        (changed.status, &changed.body["total"]),
        (200, &json!(5)),
        "{changed:?}"
    );
    app.rebuild().await;
    let stock = app.get(&format!("/api/v1/sales/{sale}/stock"), None).await;
    assert_eq!(
        stock.body,
        json!({"total": 5, "available": 5, "held": 0, "sold": 0})
    );
}
