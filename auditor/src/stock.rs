//! Redis against itself and, at rest, against MySQL.

use crate::{checks::Check, database::Sale, redis_node::Node, verdict::Tally};
use futures::TryStreamExt;
use sqlx::MySqlConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// Compares every sale. Holds one sale's buyers in memory at a time.
///
/// # Errors
/// Redis or MySQL stops answering.
pub async fn compare(
    node: &mut Node,
    db: &mut MySqlConnection,
    sales: &[Sale],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    for sale in sales {
        compare_sale(node, db, sale, tally).await?;
    }
    let epochs: HashMap<Uuid, i64> = sales.iter().map(|sale| (sale.id, sale.epoch)).collect();
    node.reservations(|sale, epoch, gid, state| {
        // Records of earlier epochs are no longer read by anyone; a rebuild that was killed may leave some.
        if epochs.get(&sale) == Some(&epoch) {
            tally.note(
                Check::NoReservationLeft,
                !matches!(state, "reserved" | "prepared"),
                || format!("sale {sale}: reservation {gid} is {state}"),
            );
        }
    })
    .await?;
    Ok(())
}

async fn compare_sale(
    node: &mut Node,
    db: &mut MySqlConnection,
    sale: &Sale,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let id = sale.id;
    let Some(levels) = node.levels(id).await? else {
        tally.note(Check::NoFence, false, || {
            format!("sale {id}: no hash in Redis")
        });
        return Ok(());
    };
    tally.note(
        Check::NoFence,
        !levels.fenced && levels.epoch == sale.epoch,
        || {
            format!(
                "sale {id}: fenced (Redis epoch {}, MySQL epoch {}, closed or suspect: {})",
                levels.epoch, sale.epoch, levels.fenced
            )
        },
    );
    tally.note(Check::RedisConserved, levels.is_conserved(), || {
        format!("sale {id}: {}", levels.describe())
    });
    let numbers = [
        (levels.total, sale.total),
        (levels.available, sale.available),
        (levels.sold, sale.sold),
    ];
    tally.note(
        Check::RedisAgrees,
        numbers
            .iter()
            .all(|&(redis, mysql)| redis == i64::from(mysql)),
        || format!("{}; {}", sale.describe(), levels.describe()),
    );
    let (pending, first) = node.pending(id, levels.epoch).await?;
    tally.note(
        Check::NothingHeld,
        levels.held == 0 && levels.owed == 0 && pending == 0,
        || {
            format!(
                "sale {id}: held {}, owed {}, {pending} pending, first {}",
                levels.held,
                levels.owed,
                first.as_deref().unwrap_or("none")
            )
        },
    );
    compare_buyers(node, db, sale, levels.epoch, tally).await
}

async fn compare_buyers(
    node: &mut Node,
    db: &mut MySqlConnection,
    sale: &Sale,
    epoch: i64,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let id = sale.id;
    let mut in_redis = node.buyers(id, epoch).await?;
    let mut rows = sqlx::query_as::<_, (Uuid, i32)>(
        "select user_id, units from sale_buyers where sale_id = ? and units > 0",
    )
    .bind(id)
    .fetch(db);
    while let Some((user, units)) = rows.try_next().await? {
        let redis = in_redis.remove(&user).unwrap_or(0);
        tally.note(Check::RedisBuyersAgree, redis == i64::from(units), || {
            format!("sale {id}, user {user}: {units} units in MySQL, {redis} in Redis")
        });
    }
    for (user, redis) in in_redis.into_iter().filter(|&(_, units)| units != 0) {
        tally.note(Check::RedisBuyersAgree, false, || {
            format!("sale {id}, user {user}: none in MySQL, {redis} in Redis")
        });
    }
    Ok(())
}
