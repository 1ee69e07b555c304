//! `/products`: the catalogue. Everyone reads it, staff adds to it.

use crate::{
    App,
    api_docs::ProblemBody,
    buyer::Staff,
    created::Created,
    orders::milliseconds,
    paging::{Page, Paging},
    problems,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ordering::{
    ProductId,
    products::{self, Product},
};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem, Query};
use utoipa::ToSchema;

const NAME_AT_MOST: usize = 200;
const DESCRIPTION_AT_MOST: usize = 4_000;

/// A product to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProduct {
    /// 1 to 200 characters.
    name: String,
    /// At most 4000 characters.
    description: String,
    /// Minor units, such as cents.
    #[schema(minimum = 0)]
    price: i64,
}

impl NewProduct {
    fn checked(self) -> Result<products::NewProduct, Problem> {
        let Self {
            name,
            description,
            price,
        } = self;
        let name = name.trim().to_owned();
        if !(1..=NAME_AT_MOST).contains(&name.chars().count()) {
            return Err(problems::invalid(format!(
                "name must have 1 to {NAME_AT_MOST} characters"
            )));
        }
        if description.chars().count() > DESCRIPTION_AT_MOST {
            return Err(problems::invalid(format!(
                "description may have {DESCRIPTION_AT_MOST} characters"
            )));
        }
        if price < 0 {
            return Err(problems::invalid("price must not be negative"));
        }
        Ok(products::NewProduct {
            name,
            description,
            price,
        })
    }
}

/// A product.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProductView {
    #[schema(value_type = uuid::Uuid)]
    id: ProductId,
    name: String,
    description: String,
    /// Minor units.
    price: i64,
    #[schema(value_type = DateTime<Utc>)]
    #[serde(serialize_with = "milliseconds")]
    created_at: DateTime<Utc>,
}

impl From<Product> for ProductView {
    fn from(product: Product) -> Self {
        let Product {
            id,
            name,
            description,
            price,
            created_at,
        } = product;
        Self {
            id,
            name,
            description,
            price,
            created_at,
        }
    }
}

/// Adds a product.
#[utoipa::path(
    post, path = "/products", tag = "products", security(("token" = [])), request_body = NewProduct,
    responses(
        (status = 201, description = "Added", body = ProductView, headers(("Location" = String))),
        (status = 403, description = "`forbidden`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_product(
    State(app): State<App>,
    _: Staff,
    Json(product): Json<NewProduct>,
) -> Result<Created<ProductView>, Problem> {
    let product = products::create(&app.db, product.checked()?)
        .await
        .map_err(problems::database)?;
    Ok(Created::at(
        format!("/api/v1/products/{}", product.id),
        product.into(),
    ))
}

/// All products, newest first.
#[utoipa::path(
    get, path = "/products", tag = "products", params(Paging),
    responses((status = 200, description = "One page", body = Page<ProductView>)),
)]
pub(crate) async fn list_products(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ProductView>>, Problem> {
    let page = paging.checked()?;
    let (products, total) = products::list(&app.db, page)
        .await
        .map_err(problems::database)?;
    Ok(Json(Page::of(page, products, total)))
}

/// One product.
#[utoipa::path(
    get, path = "/products/{product}", tag = "products",
    params(("product" = uuid::Uuid, Path, description = "The product")),
    responses(
        (status = 200, description = "The product", body = ProductView),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_product(
    State(app): State<App>,
    Path(product): Path<ProductId>,
) -> Result<Json<ProductView>, Problem> {
    let found = products::get(&app.db, product)
        .await
        .map_err(problems::database)?;
    found
        .map(|product| Json(product.into()))
        .ok_or_else(|| problems::not_found("product"))
}
