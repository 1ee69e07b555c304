//! Accounts: registering, logging in, roles, and guessing passwords.

use crate::app::{STAFF, STAFF_PASSWORD, TestApp};
use serde_json::{Value, json};

fn ann() -> Value {
    json!({"username": "ann", "email": "ann@example.org", "password": "correct horse"})
}

#[tokio::test]
async fn whoever_registers_can_log_in_by_name_or_address_and_see_themselves() {
    let app = TestApp::start().await;
    let made = app.post("/api/v1/users", None, &ann()).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.location.as_deref(), Some("/api/v1/users/me"));
    assert!(!made.body.to_string().contains("password"), "{made:?}");
    for name in ["ann", "ann@example.org"] {
        let session = app
            .post(
                "/api/v1/sessions",
                None,
                &json!({"username": name, "password": "correct horse"}),
            )
            .await;
        assert_eq!(
            (session.status, &session.body["token_type"]),
            (200, &json!("Bearer")),
            "{session:?}"
        );
        assert_eq!(session.body["expires_in"], 86_400);
        let me = app
            .get("/api/v1/users/me", Some(&session.text("access_token")))
            .await;
        assert_eq!(
            (me.status, me.body["id"].as_str()),
            (200, Some(&*made.id())),
            "{me:?}"
        );
        assert_eq!(
            (&me.body["username"], &me.body["role"]),
            (&json!("ann"), &json!("buyer"))
        );
    }
    app.get("/api/v1/users/me", None)
        .await
        .is_problem(401, "unauthorized");
}

#[tokio::test]
async fn bad_accounts_are_refused() {
    let app = TestApp::start().await;
    assert_eq!(app.post("/api/v1/users", None, &ann()).await.status, 201);
    app.post("/api/v1/users", None, &ann())
        .await
        .is_problem(409, "already_taken");
    for (member, value) in [
        ("username", "an"),
        ("username", "ann@example.org"),
        ("email", "nobody"),
        ("password", "short"),
        ("role", "staff"),
    ] {
        let mut user =
            json!({"username": "bob", "email": "bob@example.org", "password": "correct horse"});
        user[member] = json!(value);
        app.post("/api/v1/users", None, &user)
            .await
            .is_problem(422, "invalid");
    }
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down_for_each_account_and_nobody_else() {
    let app = TestApp::start().await;
    assert_eq!(app.post("/api/v1/users", None, &ann()).await.status, 201);
    let guess = async |name: &str, password: &str| {
        app.post(
            "/api/v1/sessions",
            None,
            &json!({"username": name, "password": password}),
        )
        .await
    };
    for name in ["ann", "ann@example.org", "ANN", "ann", "ann"] {
        guess(name, "wrong")
            .await
            .is_problem(401, "bad_credentials");
    }
    let throttled = guess("ann", "correct horse").await;
    throttled.is_problem(429, "too_many_attempts");
    assert!(
        throttled
            .retry_after
            .is_some_and(|seconds| (1..=60).contains(&seconds))
    );
    for _ in 0..5 {
        guess("nobody", "wrong")
            .await
            .is_problem(401, "bad_credentials");
    }
    guess("nobody", "wrong")
        .await
        .is_problem(429, "too_many_attempts");
    assert_eq!(
        guess(STAFF, STAFF_PASSWORD).await.status,
        200,
        "others are not touched"
    );
}

#[tokio::test]
async fn the_first_staff_account_may_make_sales_and_buyers_may_not() {
    let app = TestApp::start().await;
    let session = app
        .post(
            "/api/v1/sessions",
            None,
            &json!({"username": STAFF, "password": STAFF_PASSWORD}),
        )
        .await;
    let (staff, product) = (
        session.text("access_token"),
        json!({"name": "lamp", "description": "", "price": 1}),
    );
    app.post("/api/v1/products", Some(&app.buyer()), &product)
        .await
        .is_problem(403, "forbidden");
    app.post("/api/v1/products", None, &product)
        .await
        .is_problem(401, "unauthorized");
    assert_eq!(
        app.post("/api/v1/products", Some(&staff), &product)
            .await
            .status,
        201
    );
    let again = seckill_api::App::start(&app.settings).await;
    assert!(again.is_ok(), "a second start finds the account there");
}
