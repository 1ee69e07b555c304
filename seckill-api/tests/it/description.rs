//! The API's description and its metrics.

use crate::app::TestApp;
use serde_json::json;

#[tokio::test]
async fn the_description_lists_every_route_and_no_other() {
    let app = TestApp::start().await;
    let description = app.get("/api-docs/openapi.json", None).await;
    assert_eq!(description.status, 200);
    let paths = description.body["paths"].as_object().expect("paths");
    let mut listed: Vec<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    listed.sort();
    assert_eq!(
        listed,
        [
            "get /api/v1/orders",
            "get /api/v1/orders/{order}",
            "get /api/v1/products",
            "get /api/v1/products/{product}",
            "get /api/v1/sales",
            "get /api/v1/sales/{sale}",
            "get /api/v1/sales/{sale}/stock",
            "get /api/v1/users/me",
            "patch /api/v1/sales/{sale}",
            "post /api/v1/orders/{order}/cancel",
            "post /api/v1/products",
            "post /api/v1/sales",
            "post /api/v1/sales/{sale}/orders",
            "post /api/v1/sessions",
            "post /api/v1/users",
        ]
    );
    assert_eq!(
        description.body["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
    let place = &description.body["paths"]["/api/v1/sales/{sale}/orders"]["post"];
    for status in ["202", "401", "403", "404", "409", "422", "503"] {
        assert!(place["responses"][status].is_object(), "{status}");
    }
}

#[tokio::test]
async fn the_description_can_be_read_by_people_without_any_other_server() {
    let app = TestApp::start().await;
    let moved = app.get("/api-docs", None).await;
    assert_eq!(
        (moved.status, moved.location.as_deref()),
        (308, Some("/api-docs/"))
    );
    let page = app.get("/api-docs/", None).await;
    assert_eq!(page.status, 200);
    assert!(page.media_type.starts_with("text/html"), "{page:?}");
    for (file, media_type) in [
        ("swagger-ui-bundle.js", "javascript"),
        ("swagger-ui.css", "css"),
    ] {
        let file = app.get(&format!("/api-docs/{file}"), None).await;
        assert_eq!(file.status, 200);
        assert!(file.media_type.contains(media_type), "{}", file.media_type);
    }
    let settings = app.get("/api-docs/swagger-initializer.js", None).await;
    assert!(
        settings
            .body
            .as_str()
            .expect("a text")
            .contains("/api-docs/openapi.json")
    );
}

#[tokio::test]
async fn metrics_count_orders_by_what_they_were_answered() {
    let app = TestApp::start().await;
    let (sale, buyer, one) = (app.sale(10, 1).await, app.buyer(), json!({"quantity": 1}));
    app.order(&sale, &buyer, &one, None).await;
    app.order(&sale, &buyer, &one, None)
        .await
        .is_problem(409, "already_ordered");
    app.order(&sale, &buyer, &json!({}), None)
        .await
        .is_problem(422, "invalid");
    app.order(&sale, "", &one, None)
        .await
        .is_problem(401, "unauthorized");
    let metrics = app.get("/metrics", None).await;
    let text = metrics.body.as_str().expect("a text");
    for outcome in ["accepted", "already_ordered", "invalid", "unauthorized"] {
        assert!(
            text.contains(&format!("seckill_requests_total{{outcome=\"{outcome}\"}}")),
            "{outcome}: {text}"
        );
    }
    for name in [
        "build_info{process=\"seckill-api\"",
        "seckill_accept_seconds_bucket",
        "reservation_seconds_bucket{op=\"reserve\"",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(!text.contains(&sale), "ids are never labels");
}
