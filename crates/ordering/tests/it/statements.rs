//! What the sessions of an engine are sent.

use crate::shop::{Shop, settle};
use coordinator::Limits;
use futures::future::join_all;
use identity::UserId;
use ordering::{OrderOutcome, engine::OrderEngine, foreign::Foreign};
use testkit::mysql_server::MysqlServer;

/// Batches of all these sizes come, more than a session keeps texts.
const AT_ONCE: usize = 130;

/// A text that is closed costs the next statement 40 ms: see `coordinator::statement`. Breaks when rows are written in one run, whatever
/// their number: 33 were closed.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_every_size_leave_no_session_without_room_for_its_texts() {
    let server = MysqlServer::start().await;
    let shop = Shop::of(server.schema().await).await;
    let units = u32::try_from(AT_ONCE * (AT_ONCE + 1) / 2).unwrap();
    let sale = shop.sale(units, 1).await;
    let engine = OrderEngine::start(
        Limits::default(),
        service_kit::mysql::options(&shop.schema.settings),
        shop.stock.clone(),
        Foreign::default(),
    );
    let before = closed(&shop).await;
    // Each size once, in no order.
    for size in (0..AT_ONCE).map(|at| 1 + at * 47 % AT_ONCE) {
        let orders = (0..size).map(|_| settle(&engine, shop.order(sale, UserId::fresh(), 1)));
        for outcome in join_all(orders).await {
            assert_eq!(outcome, Ok(OrderOutcome::Confirmed));
        }
    }
    assert_eq!(closed(&shop).await - before, 0);
}

/// How many prepared statements this server was told to close.
async fn closed(shop: &Shop) -> i64 {
    let row: (String, String) =
        sqlx::query_as("show global status where variable_name = 'Com_stmt_close'")
            .fetch_one(&shop.schema.pool)
            .await
            .unwrap();
    row.1.parse().unwrap()
}
