//! What is answered while a server is away, slow or being rebuilt. A 503 always says when to come back, and one that names an
//! order means that the order may exist.

use crate::app::{Answer, TestApp};
use ordering::keys;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::eventually;

const SOON: Duration = Duration::from_mins(1);

fn one() -> Value {
    json!({"quantity": 1})
}

impl TestApp {
    /// One that takes no order without a lock.
    async fn strict() -> Self {
        Self::start_with(|settings| settings.sale_lock.required = true).await
    }

    /// Asks a strict one until the lock node answers in time: before, nothing was done.
    async fn order_locked(&self, sale: &str, token: &str) -> Answer {
        let body = one();
        eventually("the lock node answers in time", SOON, || async {
            let answer = self.order(sale, token, &body, None).await;
            let is_in_time = answer.status != 503 || answer.text("code") != "unavailable";
            is_in_time.then_some(answer)
        })
        .await
    }

    /// Waits until somebody's order is locked, or nobody's.
    async fn until_locked(&self, is_locked: bool) {
        eventually("the locks are as wanted", SOON, || async {
            let locks: Vec<String> = redis::cmd("KEYS")
                .arg("*")
                .query_async(&mut self.locks.connection().await)
                .await
                .ok()?;
            (locks.is_empty() != is_locked).then_some(())
        })
        .await;
    }

    /// Asks until it is ready, or not.
    async fn until_ready(&self, status: u16) -> Answer {
        eventually(&format!("readiness is {status}"), SOON, || async {
            let answer = self.get("/health/ready", None).await;
            let says_why = status == 200 || answer.body["checks"]["mysql"] == "ok";
            (answer.status == status && says_why).then_some(answer)
        })
        .await
    }
}

#[tokio::test]
async fn a_fenced_sale_is_not_ready_until_it_is_rebuilt_and_no_order_of_it_is_missing() {
    let app = TestApp::start().await;
    let (sale, buyer) = (app.sale(10, 5).await, app.buyer());
    let order = app.order(&sale, &buyer, &one(), None).await;
    app.stock.command(&["SCRIPT", "FLUSH"]).await;
    app.order(&sale, &buyer, &one(), None)
        .await
        .is_problem(503, "not_ready");
    app.order(&sale, &buyer, &one(), Some("k"))
        .await
        .is_problem(503, "not_ready");
    app.get(&order.text("status_url"), Some(&buyer))
        .await
        .is_problem(503, "not_ready");
    app.stock.command(&["FLUSHALL"]).await;
    app.get(&format!("/api/v1/sales/{sale}/stock"), None)
        .await
        .is_problem(503, "not_ready");
    app.rebuild().await;
    eventually("orders are taken again", SOON, || async {
        (app.order(&sale, &buyer, &one(), None).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_sale_made_while_redis_is_away_is_there_once_it_is_back() {
    let mut app = TestApp::start().await;
    let product = app.product().await;
    app.stock.kill().await;
    let sale = json!({
        "product_id": product, "price": 1, "total": 5, "per_user_limit": 1,
        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z",
    });
    let made = app.post("/api/v1/sales", Some(&app.staff()), &sale).await;
    made.is_problem(503, "not_ready");
    let sale = made.text("sale_id");
    app.order(&sale, &app.buyer(), &one(), None)
        .await
        .is_problem(503, "not_ready");
    app.stock.restart().await;
    app.rebuild().await;
    eventually("the sale takes orders", SOON, || async {
        (app.order(&sale, &app.buyer(), &one(), None).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reservation_without_an_answer_is_unknown_and_its_repeat_tells() {
    let app = TestApp::start().await;
    let (sale, buyer) = (app.sale(10, 5).await, app.buyer());
    assert_eq!(app.order(&sale, &buyer, &one(), None).await.status, 202);
    app.stock.pause();
    let unknown = app.order(&sale, &buyer, &one(), Some("k")).await;
    app.stock.resume();
    unknown.is_problem(503, "outcome_unknown");
    let known = eventually("Redis answers again", SOON, || async {
        Some(app.order(&sale, &buyer, &one(), Some("k")).await)
            .filter(|answer| answer.status == 202)
    })
    .await;
    assert_eq!(
        known.text("order_id"),
        unknown.text("order_id"),
        "it was reserved all the same, and once"
    );
    let stock = app.get(&format!("/api/v1/sales/{sale}/stock"), None).await;
    assert_eq!(stock.body["held"], 2);
}

#[tokio::test]
async fn more_requests_than_are_allowed_at_once_are_told_to_come_back() {
    let app = TestApp::start_with(|settings| settings.admission.max_in_flight = 1).await;
    let sale = app.sale(10, 5).await;
    assert_eq!(
        app.order(&sale, &app.buyer(), &one(), None).await.status,
        202
    );
    app.stock.pause();
    let (ann, bob, body) = (app.buyer(), app.buyer(), one());
    let answers = tokio::join!(
        app.order(&sale, &ann, &body, None),
        app.order(&sale, &bob, &body, None)
    );
    app.stock.resume();
    let mut answers = [answers.0, answers.1];
    answers.sort_by_key(|answer| answer.text("code"));
    answers[0].is_problem(503, "busy");
    answers[1].is_problem(503, "outcome_unknown");
}

#[tokio::test]
async fn too_many_units_undecided_is_busy() {
    let app = TestApp::start_with(|settings| settings.admission.held_max = 2).await;
    let sale = app.sale(10, 5).await;
    for _ in 0..2 {
        assert_eq!(
            app.order(&sale, &app.buyer(), &one(), None).await.status,
            202
        );
    }
    app.order(&sale, &app.buyer(), &one(), None)
        .await
        .is_problem(503, "busy");
}

#[tokio::test]
async fn one_request_of_a_buyer_at_a_time_and_other_buyers_never_wait() {
    let app = TestApp::strict().await;
    let sale = app.sale(10, 5).await;
    let user = identity::UserId::fresh();
    let before = app.state(&sale).await;
    let mut locks = app.locks.connection().await;
    let name = format!("lock:order:{sale}:{user}");
    let () = redis::cmd("SET")
        .arg(&name)
        .arg("someone")
        .query_async(&mut locks)
        .await
        .expect("the lock node answers");
    app.order_locked(&sale, &app.token_of(user))
        .await
        .is_problem(409, "in_progress");
    assert_eq!(app.state(&sale).await, before);
    eventually("another buyer orders", SOON, || async {
        (app.order_locked(&sale, &app.buyer()).await.status == 202).then_some(())
    })
    .await;
    let () = redis::cmd("DEL")
        .arg(&name)
        .query_async(&mut locks)
        .await
        .expect("the lock node answers");
    eventually("the buyer orders", SOON, || async {
        (app.order_locked(&sale, &app.token_of(user)).await.status == 202).then_some(())
    })
    .await;
    app.until_locked(false).await;
}

#[tokio::test]
async fn without_lock_nodes_orders_go_on_unless_the_lock_is_required() {
    let mut app = TestApp::start().await;
    let sale = app.sale(10, 5).await;
    app.locks.kill().await;
    let accepted = app.order(&sale, &app.buyer(), &one(), None).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");

    let mut strict = TestApp::strict().await;
    let sale = strict.sale(10, 5).await;
    let before = strict.state(&sale).await;
    strict.locks.kill().await;
    strict
        .order(&sale, &strict.buyer(), &one(), None)
        .await
        .is_problem(503, "unavailable");
    assert_eq!(strict.state(&sale).await, before);
}

/// The topic vanishes: to a producer that is a broker that takes nothing.
#[tokio::test]
async fn what_kafka_does_not_take_is_never_accepted_and_soon_nothing_is_reserved_for_it() {
    let app = TestApp::start().await;
    let sale = app.sale(1_000, 5).await;
    delete_topic(&app).await;
    let body = one();
    let buyers: Vec<String> = (0..6).map(|_| app.buyer()).collect();
    let answers = futures::future::join_all(
        buyers
            .iter()
            .map(|buyer| app.order(&sale, buyer, &body, None)),
    )
    .await;
    for (answer, buyer) in answers.iter().zip(&buyers) {
        assert_eq!(answer.status, 503, "{answer:?}");
        match answer.text("code").as_str() {
            "outcome_unknown" => {
                let seen = app.get(&answer.text("status_url"), Some(buyer)).await;
                assert_eq!(
                    seen.body["status"], "processing",
                    "its units are held: {seen:?}"
                );
            }
            code => assert_eq!(code, "unavailable", "surely not sent, and withdrawn"),
        }
    }
    let unknown = answers
        .iter()
        .filter(|answer| answer.text("code") == "outcome_unknown")
        .count();
    let stock = app.get(&format!("/api/v1/sales/{sale}/stock"), None).await;
    assert_eq!(
        stock.body["held"], unknown,
        "only what may have been sent holds units"
    );
    app.order(&sale, &app.buyer(), &body, None)
        .await
        .is_problem(503, "unavailable");
    let after = app.get(&format!("/api/v1/sales/{sale}/stock"), None).await;
    assert_eq!(
        after.body, stock.body,
        "the breaker is asked before anything is reserved"
    );
}

async fn delete_topic(app: &TestApp) {
    use rdkafka::{
        ClientConfig, admin::AdminClient, admin::AdminOptions, client::DefaultClientContext,
    };
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &app.topics.brokers)
        .create()
        .expect("a client");
    admin
        .delete_topics(&[&app.topics.orders], &AdminOptions::new())
        .await
        .expect("Kafka answers");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_neither_a_lock_nor_half_an_order() {
    let app = TestApp::strict().await;
    let (sale, buyer) = (app.sale(10, 5).await, app.buyer());
    let first = app.order_locked(&sale, &app.buyer()).await;
    assert_eq!(first.status, 202, "{first:?}");
    app.until_locked(false).await;
    app.stock.pause();
    tokio::select! {
        answer = app.order_locked(&sale, &buyer) => panic!("the client went away first: {answer:?}"),
        () = app.until_locked(true) => {}
    }
    app.stock.resume();
    eventually("the order is published", SOON, || async {
        (app.published().await == 2).then_some(())
    })
    .await;
    app.until_locked(false).await;
}

#[tokio::test]
async fn a_stop_waits_for_the_orders_under_way() {
    let app = TestApp::strict().await;
    let sale = app.sale(10, 5).await;
    let first = app.order_locked(&sale, &app.buyer()).await;
    assert_eq!(first.status, 202, "{first:?}");
    app.until_locked(false).await;
    app.stock.pause();
    let buyer = app.buyer();
    let (answer, ()) = tokio::join!(app.order_locked(&sale, &buyer), async {
        app.until_locked(true).await;
        tokio::join!(app.app.drain(), async { app.stock.resume() });
        assert_eq!(
            app.published().await,
            2,
            "it was published before the stop went on"
        );
    });
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn readiness_names_what_is_away() {
    let mut app = TestApp::start().await;
    assert_eq!(app.get("/health/live", None).await.body["status"], "live");
    let ready = app.until_ready(200).await;
    for name in ["redis_stock", "mysql", "kafka"] {
        assert_eq!(ready.body["checks"][name], "ok", "{ready:?}");
    }
    app.stock.kill().await;
    let not_ready = app.until_ready(503).await;
    assert_ne!(not_ready.body["checks"]["redis_stock"], "ok");
}

#[tokio::test]
async fn a_lost_hash_is_not_ready_and_never_made_by_an_order() {
    let app = TestApp::start().await;
    let sale = app.sale(10, 5).await;
    let hash = keys::stock(sale.parse().expect("a sale"));
    app.stock.command(&["DEL", &hash]).await;
    app.order(&sale, &app.buyer(), &one(), None)
        .await
        .is_problem(503, "not_ready");
    let there: bool = redis::cmd("EXISTS")
        .arg(&hash)
        .query_async(&mut app.stock.connection().await)
        .await
        .expect("Redis answers");
    assert!(!there);
}
