//! Reservations that were neither sold nor given back when their sale was closed: read from the old epoch's names, and copied to
//! the new one's.

use super::{
    RebuildError,
    node::{Node, PAGE},
};
use crate::{
    ids::{OrderId, SaleId},
    keys::Names,
    message::OrderMessage,
};
use coordinator::Gid;
use identity::UserId;
use redis::RedisResult;
use uuid::Uuid;

/// A reservation that was neither sold nor given back when the sale was closed.
#[derive(Debug, Clone)]
pub(super) struct Survivor {
    pub gid: Gid,
    pub order: OrderId,
    pub user: UserId,
    pub units: i64,
    /// Its next look, ms since 1970.
    pub look_at: f64,
    pub record: Record,
}

/// Whether Redis still has a reservation's record.
#[derive(Debug, Clone)]
pub(super) enum Record {
    /// Under the old epoch's names.
    Kept,
    /// It is made anew, from the message that was published.
    Lost(Vec<u8>),
}

impl Node {
    /// What stands in `pending` with its record. Nothing changes it while the sale is closed.
    pub async fn survivors(
        &mut self,
        sale: SaleId,
        epoch: Option<i64>,
    ) -> RedisResult<Vec<Survivor>> {
        let Some(epoch) = epoch else {
            return Ok(Vec::new());
        };
        let names = Names { sale, epoch };
        let mut survivors = Vec::new();
        for start in (0..).step_by(PAGE) {
            let page: Vec<(String, f64)> = redis::cmd("ZRANGE")
                .arg(names.pending())
                .arg(start)
                .arg(start + PAGE - 1)
                .arg("WITHSCORES")
                .query_async(self.connection())
                .await?;
            let last = page.len() < PAGE;
            survivors.extend(self.with_records(names, page).await?);
            if last {
                break;
            }
        }
        Ok(survivors)
    }

    async fn with_records(
        &mut self,
        names: Names,
        page: Vec<(String, f64)>,
    ) -> RedisResult<Vec<Survivor>> {
        type Fields = (Option<String>, Option<String>, Option<String>, Option<i64>);
        if page.is_empty() {
            return Ok(Vec::new());
        }
        let members: Vec<(Gid, f64)> = page
            .iter()
            .filter_map(|(gid, score)| Some((Gid::from_uuid(gid.parse::<Uuid>().ok()?), *score)))
            .collect();
        let mut ask = redis::pipe();
        for (gid, _) in &members {
            ask.cmd("HMGET")
                .arg(names.reservation(*gid))
                .arg(&["state", "order", "user", "units"]);
        }
        let records: Vec<Fields> = ask.query_async(self.connection()).await?;
        let survivor = |((gid, look_at), (state, order, user, units)): ((Gid, f64), Fields)| {
            let undecided = matches!(state.as_deref(), Some("reserved" | "prepared"));
            undecided.then_some(())?;
            Some(Survivor {
                gid,
                order: order?.parse().ok()?,
                user: user?.parse().ok()?,
                units: units?,
                look_at,
                record: Record::Kept,
            })
        };
        Ok(members
            .into_iter()
            .zip(records)
            .filter_map(survivor)
            .collect())
    }

    /// Writes record, `pending` and key of each survivor under the new names.
    pub async fn copy_records(
        &mut self,
        old: Names,
        new: Names,
        survivors: &[Survivor],
    ) -> Result<(), RebuildError> {
        for page in survivors.chunks(PAGE) {
            self.copy_page(old, new, page).await?;
        }
        Ok(())
    }

    async fn copy_page(
        &mut self,
        old: Names,
        new: Names,
        page: &[Survivor],
    ) -> Result<(), RebuildError> {
        let records = self.records(old, page).await?;
        let mut write = redis::pipe();
        let mut owners = Vec::new();
        for (survivor, fields) in page.iter().zip(&records) {
            if fields.is_empty() {
                return Err(RebuildError::LostAgain(old.sale));
            }
            write
                .hset_multiple(new.reservation(survivor.gid), fields)
                .ignore();
            write
                .zadd(new.pending(), survivor.gid.to_string(), survivor.look_at)
                .ignore();
            let message = fields
                .iter()
                .find(|(name, _)| name == "message")
                .and_then(|(_, body)| OrderMessage::parse(body).ok());
            if let Some((idempotency, created_at)) =
                message.and_then(|it| Some((it.idempotency?, it.created_at)))
            {
                owners.push((survivor.user, survivor.order, idempotency, created_at));
            }
        }
        write.exec_async(self.connection()).await?;
        let owners = owners
            .iter()
            .map(|(user, order, idempotency, at)| (*user, *order, idempotency, *at));
        self.write_keys(new, owners).await?;
        Ok(())
    }

    /// The fields of each survivor's record, in the order of `page`.
    async fn records(
        &mut self,
        old: Names,
        page: &[Survivor],
    ) -> RedisResult<Vec<Vec<(String, Vec<u8>)>>> {
        let mut ask = redis::pipe();
        for survivor in page {
            ask.cmd("HGETALL").arg(old.reservation(survivor.gid));
        }
        let mut records: Vec<Vec<(String, Vec<u8>)>> = ask.query_async(self.connection()).await?;
        for (survivor, fields) in page.iter().zip(&mut records) {
            if let Record::Lost(message) = &survivor.record {
                let text = |name: &str, value: String| (name.to_owned(), value.into_bytes());
                *fields = vec![
                    text("state", "reserved".to_owned()),
                    text("order", survivor.order.to_string()),
                    text("user", survivor.user.to_string()),
                    text("units", survivor.units.to_string()),
                    ("message".to_owned(), message.clone()),
                ];
            }
        }
        Ok(records)
    }
}
