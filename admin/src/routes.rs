//! Every route, in one table: who may use it stands in its handler's arguments.

use crate::{
    App, access, alerts, api_docs, archives, assets, audit, compensation_log, discard, groups,
    headers, incidents, log_in, missing, notes, operations, operators, overview, password,
    permissions, policy, replay, reports, sales, tokens, transactions, truth, versions,
};
use axum::{
    Router, middleware,
    response::Redirect,
    routing::{delete, get, post},
};
use service_kit::{health, telemetry::Metrics};

/// The web, the JSON, health and metrics.
pub fn router(app: App, metrics: Metrics) -> Router {
    let health = health::routes(app.health(), metrics);
    web()
        .nest("/api/v1", json())
        .route("/reprocess_order/{order_id}", post(replay::api::reprocess))
        .route("/api-docs/openapi.json", get(api_docs::show))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            access::identify,
        ))
        .with_state(app)
        .merge(assets::routes())
        .merge(health)
        .fallback(missing::path)
        .method_not_allowed_fallback(missing::method)
        .layer(middleware::from_fn(headers::secure))
}

fn web() -> Router<App> {
    Router::new()
        .route(
            "/",
            get(async |_: access::May<access::Look>| Redirect::to("/groups")),
        )
        .route("/login", get(log_in::page::show).post(log_in::page::submit))
        .route("/logout", post(log_in::page::log_out_of_browser))
        .route("/password", get(password::show).post(password::submit))
        .route("/overview", get(overview::page::show))
        .route("/archives", get(archives::list_page::show))
        .route("/archives.csv", get(archives::export::csv_page))
        .route("/archives.jsonl", get(archives::export::lines_page))
        .route("/archives/{id}", get(archives::detail_page::show))
        .route("/archives/{id}/replay", post(replay::page::submit))
        .route("/archives/{id}/notes", post(notes::page::submit))
        .route("/archives/{id}/discard", post(discard::page::submit))
        .route(
            "/archives/{id}/edit",
            get(versions::edit_page::show).post(versions::forms::submit),
        )
        .route("/archives/{id}/reconcile", post(truth::forms::submit))
        .route("/groups", get(groups::page::show))
        .route(
            "/groups/{fingerprint}",
            get(groups::detail_page::show).post(groups::detail_page::mark),
        )
        .route("/transactions", get(transactions::list_page::show))
        .route("/transactions/{gid}", get(transactions::detail_page::show))
        .route(
            "/transactions/{gid}/rollback",
            post(transactions::forms::roll_back),
        )
        .route(
            "/transactions/{gid}/resume",
            post(transactions::forms::resume),
        )
        .route("/transactions/{gid}/stop", post(transactions::forms::stop))
        .route(
            "/operations",
            get(operations::page::list).post(operations::asking::submit),
        )
        .route("/operations/preview", get(operations::preview::show))
        .route("/operations/{id}", get(operations::page::show))
        .route(
            "/operations/{id}/confirm",
            post(operations::steering::confirm),
        )
        .route("/operations/{id}/{act}", post(operations::steering::submit))
        .route("/alerts", get(alerts::page::show))
        .route("/alerts/channels", get(alerts::channels_page::show))
        .route("/alerts/channels/{name}/test", post(alerts::forms::test))
        .route("/alerts/channels/{name}/on", post(alerts::forms::switch_on))
        .route("/alerts/{id}", get(alerts::notice_page::show))
        .route("/alerts/{id}/redeliver", post(alerts::forms::redeliver))
        .route("/incidents", get(incidents::list_page::show))
        .route("/incidents/{id}", get(incidents::detail_page::show))
        .route(
            "/incidents/{id}/acknowledge",
            post(incidents::forms::acknowledge),
        )
        .route("/incidents/{id}/assign", post(incidents::forms::assign))
        .route("/incidents/{id}/silence", post(incidents::forms::silence))
        .route(
            "/incidents/{id}/unsilence",
            post(incidents::forms::unsilence),
        )
        .route("/incidents/{id}/close", post(incidents::forms::close))
        .route("/sales", get(sales::list_page::show))
        .route(
            "/sales/{id}",
            get(sales::detail_page::show).post(sales::forms::change),
        )
        .route("/compensation-log", get(compensation_log::list_page::show))
        .route("/audit", get(audit::page::show))
        .route("/audit.csv", get(audit::export::csv_page))
        .route("/audit.jsonl", get(audit::export::lines_page))
        .route("/report", get(reports::page::show))
        .route(
            "/policy",
            get(policy::page::show).post(policy::page::submit),
        )
        .route("/policy/preview", post(policy::page::preview))
        .route("/operators", get(operators::show).post(operators::create))
        .route("/operators/{id}/role", post(operators::set_role))
        .route("/operators/{id}/password", post(operators::reset_password))
        .route("/operators/{id}/unlock", post(operators::unlock))
        .route("/operators/{id}/remove", post(operators::remove))
        .route("/permissions", get(permissions::page::show))
        .route(
            "/tokens",
            get(tokens::page::show).post(tokens::forms::create),
        )
        .route("/tokens/{id}/end", post(tokens::forms::end))
}

fn json() -> Router<App> {
    Router::new()
        .route(
            "/sessions",
            post(log_in::api::open).delete(log_in::api::end),
        )
        .route("/me", get(permissions::api::me))
        .route("/tokens", get(tokens::api::list).post(tokens::api::create))
        .route("/tokens/{id}", delete(tokens::api::end))
        .route("/overview", get(overview::api::get))
        .route("/archives", get(archives::api::list))
        .route("/archives.csv", get(archives::export::csv_api))
        .route("/archives.jsonl", get(archives::export::lines_api))
        .route("/archives/{id}", get(archives::api::get))
        .route("/archives/{id}/truth", get(truth::api::get))
        .route("/archives/{id}/preview", get(replay::api::preview))
        .route(
            "/archives/{id}/notes",
            get(notes::api::list).post(notes::api::create),
        )
        .route(
            "/archives/{id}/versions",
            get(versions::api::list).post(versions::api::create),
        )
        .route("/archives/{id}/discard", post(discard::api::submit))
        .route("/archives/{id}/reconcile", post(truth::api::reconcile))
        .route("/groups", get(groups::api::list))
        .route(
            "/groups/{fingerprint}",
            get(groups::api::get).patch(groups::api::mark),
        )
        .route("/transactions", get(transactions::api::list))
        .route("/transactions/{gid}", get(transactions::api::get))
        .route(
            "/transactions/{gid}/rollback",
            post(transactions::api::roll_back),
        )
        .route(
            "/transactions/{gid}/resume",
            post(transactions::api::resume),
        )
        .route("/transactions/{gid}/stop", post(transactions::api::stop))
        .route(
            "/operations",
            get(operations::api::list).post(replay::api::create),
        )
        .route("/operations/preview", post(operations::preview::api))
        .route("/operations/{id}", get(operations::api::get))
        .route("/operations/{id}/items", get(operations::api::items))
        .route(
            "/operations/{id}/confirm",
            post(operations::steering::confirm_api),
        )
        .route("/operations/{id}/{act}", post(operations::steering::api))
        .route("/alerts", get(alerts::api::list))
        .route("/alerts/channels", get(alerts::api::channels))
        .route("/alerts/channels/{name}/test", post(alerts::api::test))
        .route("/alerts/channels/{name}/on", post(alerts::api::switch_on))
        .route("/alerts/{id}", get(alerts::api::get))
        .route("/alerts/{id}/redeliver", post(alerts::api::redeliver))
        .route("/incidents", get(incidents::api::list))
        .route("/incidents/{id}", get(incidents::api::get))
        .route("/incidents/{id}/alerts", get(incidents::api::alerts))
        .route(
            "/incidents/{id}/acknowledge",
            post(incidents::api::acknowledge),
        )
        .route("/incidents/{id}/assign", post(incidents::api::assign))
        .route("/incidents/{id}/silence", post(incidents::api::silence))
        .route("/incidents/{id}/unsilence", post(incidents::api::unsilence))
        .route("/incidents/{id}/close", post(incidents::api::close))
        .route("/sales", get(sales::api::list))
        .route(
            "/sales/{id}",
            get(sales::api::get).patch(sales::api::change),
        )
        .route("/compensation-logs", get(compensation_log::api::list))
        .route("/audit", get(audit::api::list))
        .route("/audit.csv", get(audit::export::csv_api))
        .route("/audit.jsonl", get(audit::export::lines_api))
        .route("/reports/weekly", get(reports::api::weekly))
        .route(
            "/settings/retry-policy",
            get(policy::api::get).put(policy::api::put),
        )
        .route("/settings/retry-policy/preview", post(policy::api::preview))
}
