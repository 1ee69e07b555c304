//! `/api-docs`: the description of this API, for programs (`openapi.json`) and for people (Swagger UI, served from this binary).

use crate::problems;
use axum::{
    Router,
    http::header,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde::Serialize;
use service_kit::problem::{Json, Path, Problem};
use std::sync::Arc;
use utoipa::{
    OpenApi, ToSchema,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::Config;

const DESCRIPTION: &str = "/api-docs/openapi.json";

/// What the routes do not say themselves.
#[derive(OpenApi)]
#[openapi(
    info(title = "seckill-api", description = "Flash sales: accounts, catalogue, sales and orders. Refusals are RFC 9457 problems; programs look at `code`."),
    components(schemas(ProblemBody)),
    tags((name = "orders"), (name = "sales"), (name = "products"), (name = "accounts")),
)]
struct Base;

/// A refusal (RFC 9457). Some codes bring more members, such as `available` or `order_id`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// `urn:redress:problem:{code}`.
    r#type: String,
    title: String,
    status: u16,
    /// For people.
    detail: String,
    /// For programs.
    code: String,
}

/// What the description of the routes is added to.
pub(crate) fn base() -> utoipa::openapi::OpenApi {
    let mut base = Base::openapi();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    base.components
        .get_or_insert_default()
        .add_security_scheme("token", SecurityScheme::Http(token));
    base
}

/// The three routes.
pub(crate) fn router(description: utoipa::openapi::OpenApi) -> Router {
    let description = Arc::new(description);
    let config = Arc::new(Config::from(DESCRIPTION));
    let front = Arc::clone(&config);
    Router::new()
        .route(
            DESCRIPTION,
            get(async move || Json(Arc::clone(&description))),
        )
        .route("/api-docs", get(async || Redirect::permanent("/api-docs/")))
        .route("/api-docs/", get(async move || file("", front)))
        .route(
            "/api-docs/{*file}",
            get(async move |Path(name): Path<String>| file(&name, config)),
        )
}

fn file(name: &str, config: Arc<Config<'static>>) -> Result<Response, Problem> {
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => Ok((
            [(header::CONTENT_TYPE, file.content_type)],
            file.bytes.into_owned(),
        )
            .into_response()),
        Ok(None) => Err(problems::not_found("file")),
        Err(cause) => Err(Problem::internal(&anyhow::anyhow!(
            "Swagger UI cannot be served: {cause}"
        ))),
    }
}
