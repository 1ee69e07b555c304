//! Products in MySQL: what a sale sells.

use crate::{ids::ProductId, paging::Paging};
use chrono::{DateTime, SubsecRound as _, Utc};
use sqlx::MySqlPool;

/// Something that can be sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The product.
    pub id: ProductId,
    /// At most 200 characters.
    pub name: String,
    /// At most 4000 characters.
    pub description: String,
    /// Its usual price, in minor units.
    pub price: i64,
    /// By the clock of the process that made it.
    pub created_at: DateTime<Utc>,
}

/// A product to be made. The columns refuse what does not fit them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProduct {
    /// At most 200 characters.
    pub name: String,
    /// At most 4000 characters.
    pub description: String,
    /// At least 0, in minor units.
    pub price: i64,
}

/// Makes a product.
///
/// # Errors
/// What the database says.
pub async fn create(db: &MySqlPool, new: NewProduct) -> sqlx::Result<Product> {
    let NewProduct {
        name,
        description,
        price,
    } = new;
    let product = Product {
        id: ProductId::fresh(),
        name,
        description,
        price,
        created_at: Utc::now().trunc_subsecs(3),
    };
    sqlx::query!(
        "insert into products (id, name, description, price, created_at) values (?, ?, ?, ?, ?)",
        product.id,
        product.name,
        product.description,
        product.price,
        product.created_at
    )
    .execute(db)
    .await?;
    Ok(product)
}

/// One product.
///
/// # Errors
/// What the database says.
pub async fn get(db: &MySqlPool, product: ProductId) -> sqlx::Result<Option<Product>> {
    sqlx::query_as!(
        Product,
        r#"select id as "id: ProductId", name, description, price, created_at as "created_at: DateTime<Utc>"
           from products where id = ?"#,
        product
    )
    .fetch_optional(db)
    .await
}

/// A page of all products, newest first, and how many there are.
///
/// # Errors
/// What the database says.
pub async fn list(db: &MySqlPool, page: Paging) -> sqlx::Result<(Vec<Product>, u64)> {
    let products = sqlx::query_as!(
        Product,
        r#"select id as "id: ProductId", name, description, price, created_at as "created_at: DateTime<Utc>"
           from products order by id desc limit ? offset ?"#,
        page.per_page,
        page.offset()
    )
    .fetch_all(db)
    .await?;
    let total = sqlx::query_scalar!("select count(*) from products")
        .fetch_one(db)
        .await?;
    Ok((products, total.unsigned_abs()))
}
