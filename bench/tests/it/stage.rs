//! What is laid out before buyers come.

use bench::stage;

#[tokio::test]
async fn buyers_have_accounts_that_nobody_can_log_in_to() {
    let schema = testkit::mysql::schema().await;
    let buyers = stage::seed_buyers(&schema.url(), 2_500).await.unwrap();
    let accounts: Vec<(uuid::Uuid, String, String)> =
        sqlx::query_as("select id, role, password_hash from users order by id")
            .fetch_all(&schema.pool)
            .await
            .unwrap();
    assert_eq!(accounts.len(), 2_500);
    assert!(
        accounts
            .iter()
            .zip(&buyers)
            .all(|((id, role, hash), buyer)| id == buyer && role == "buyer" && hash == "!")
    );
}
