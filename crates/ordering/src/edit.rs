//! Which fields of a failed order's message a person may change, and to what. Pure: who may, and where versions are kept, is elsewhere.
//!
//! What identifies an order, its buyer and its sale is locked: an order that is tried again is the same order. Its price is money somebody
//! has agreed to, so changing it is a permission of its own, and nobody tells the figures.

use crate::{ids::Quantity, message::OrderMessage};
use serde_json::{Map, Value};

/// Characters a remark may have.
pub const REMARK_AT_MOST: usize = 500;

/// Who may change a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Nobody.
    Locked,
    /// Who has the permission for that; what it was and is, is not told.
    Sensitive,
    /// Whoever may edit orders.
    Free,
}

impl Rule {
    /// A stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Sensitive => "sensitive",
            Self::Free => "free",
        }
    }
}

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the message.
    pub name: &'static str,
    /// Who may change it.
    pub rule: Rule,
    /// Why, or what it takes.
    pub about: &'static str,
}

const fn field(name: &'static str, rule: Rule, about: &'static str) -> Field {
    Field { name, rule, about }
}

/// All of them, those that may be changed first.
pub const FIELDS: [Field; 11] = [
    field(
        "quantity",
        Rule::Free,
        "1 to 100, and no more than its sale allows one buyer",
    ),
    field("remark", Rule::Free, "at most 500 characters, or nothing"),
    field(
        "price",
        Rule::Sensitive,
        "of one unit, in minor units; not negative",
    ),
    field("order_id", Rule::Locked, "it stays the same order"),
    field("user_id", Rule::Locked, "it stays its buyer's"),
    field("sale_id", Rule::Locked, "it stays in its sale"),
    field("gid", Rule::Locked, "a replay names its own transaction"),
    field("generation", Rule::Locked, "a replay counts it"),
    field(
        "version",
        Rule::Locked,
        "it says how the message is written",
    ),
    field(
        "idempotency",
        Rule::Locked,
        "it is the buyer's, and a replay has none",
    ),
    field("created_at", Rule::Locked, "it was admitted then"),
];

/// Why a field is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Its name.
    pub field: String,
    /// A sentence without its beginning: "it is locked: …".
    pub why: String,
}

/// A message with what was changed in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The message.
    pub message: OrderMessage,
    /// Fields that are not as they were.
    pub changed: Vec<Field>,
}

/// Applies `wanted` to `base`. A field that is named and stays as it is, is no change, whatever its rule.
///
/// `limit` is what the sale allows one buyer, where there is a sale.
///
/// # Errors
/// Every field that is not taken.
pub fn edited(
    base: &OrderMessage,
    wanted: &Map<String, Value>,
    limit: Option<i64>,
) -> Result<Edited, Vec<Bad>> {
    let was = members(base);
    let (mut message, mut bad) = (base.clone(), Vec::new());
    for (name, value) in wanted {
        let refused = match FIELDS.iter().find(|field| field.name == name) {
            None => Err("an order has no such field".to_owned()),
            Some(field) if was.get(field.name) == Some(value) => continue,
            Some(field) if field.rule == Rule::Locked => {
                Err(format!("it is locked: {}", field.about))
            }
            Some(_) => set(&mut message, name, value, limit),
        };
        if let Err(why) = refused {
            let field = name.clone();
            bad.push(Bad { field, why });
        }
    }
    // What every reader of the topic would say of it.
    if bad.is_empty()
        && let Err(cause) = OrderMessage::parse(&message.to_bytes())
    {
        bad.push(Bad {
            field: "order".to_owned(),
            why: cause.to_string(),
        });
    }
    if !bad.is_empty() {
        return Err(bad);
    }
    let is = members(&message);
    let changed = FIELDS
        .into_iter()
        .filter(|field| was.get(field.name) != is.get(field.name))
        .collect();
    Ok(Edited { message, changed })
}

/// A message as a JSON object.
#[must_use]
pub fn members(message: &OrderMessage) -> Map<String, Value> {
    match serde_json::to_value(message) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

fn set(
    message: &mut OrderMessage,
    name: &str,
    value: &Value,
    limit: Option<i64>,
) -> Result<(), String> {
    match name {
        "quantity" => {
            let units = value.as_u64().and_then(|units| u32::try_from(units).ok());
            let quantity = units.and_then(|units| Quantity::try_from(units).ok());
            message.quantity = quantity.ok_or("it is a whole number from 1 to 100")?;
            if limit.is_some_and(|limit| i64::from(message.quantity.get()) > limit) {
                let limit = limit.unwrap_or_default();
                return Err(format!("its sale allows one buyer {limit}"));
            }
        }
        "price" => {
            let price = value.as_i64().filter(|price| *price >= 0);
            message.price = price.ok_or("it is a whole number of minor units, not negative")?;
        }
        "remark" => {
            message.remark = match value {
                Value::Null => None,
                Value::String(text) if text.is_empty() => None,
                Value::String(text) if text.chars().count() > REMARK_AT_MOST => {
                    return Err(format!("it may have {REMARK_AT_MOST} characters"));
                }
                Value::String(text) => Some(text.clone()),
                _ => return Err("it is a text, or nothing".to_owned()),
            };
        }
        other => return Err(format!("nobody knows how to set {other}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{OrderId, SaleId},
        message::VERSION,
    };
    use identity::UserId;
    use serde_json::json;

    fn message() -> OrderMessage {
        let sale = SaleId::fresh();
        let order = OrderId::mint(sale);
        OrderMessage {
            version: VERSION,
            order_id: order,
            gid: order.first_gid(),
            generation: 0,
            sale_id: sale,
            user_id: UserId::fresh(),
            quantity: Quantity::try_from(2).unwrap(),
            price: 999,
            remark: Some("ring twice".to_owned()),
            idempotency: None,
            created_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    fn changes(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn every_field_of_a_message_has_a_rule() {
        let members = members(&message());
        for name in members.keys() {
            assert!(FIELDS.iter().any(|field| field.name == name), "{name}");
        }
        assert_eq!(members.len(), FIELDS.len());
    }

    #[test]
    fn what_is_changed_is_told_and_what_stays_is_no_change() {
        let base = message();
        let all =
            changes(&json!({"quantity": 3, "remark": "", "price": 999, "order_id": base.order_id}));
        let edited = edited(&base, &all, Some(3)).unwrap();
        let names: Vec<&str> = edited.changed.iter().map(|field| field.name).collect();
        assert_eq!(names, ["quantity", "remark"]);
        let expected = OrderMessage {
            quantity: Quantity::try_from(3).unwrap(),
            remark: None,
            ..base
        };
        assert_eq!(edited.message, expected);
    }

    #[test]
    fn each_refusal_is_at_its_field() {
        let base = message();
        for (change, field) in [
            (json!({"quantity": 0}), "quantity"),
            (json!({"quantity": 101}), "quantity"),
            (json!({"quantity": -1}), "quantity"),
            (json!({"quantity": 1.5}), "quantity"),
            (json!({"quantity": "2"}), "quantity"),
            (json!({"quantity": u64::MAX}), "quantity"),
            (json!({"quantity": 6}), "quantity"),
            (json!({"price": -1}), "price"),
            (json!({"price": null}), "price"),
            (json!({"price": u64::MAX}), "price"),
            (json!({"remark": 1}), "remark"),
            (json!({"remark": "x".repeat(501)}), "remark"),
            (
                json!({"user_id": "0197a000-0000-7000-8000-000000000001"}),
                "user_id",
            ),
            (json!({"gid": null}), "gid"),
            (json!({"version": 2}), "version"),
            (json!({"colour": "red"}), "colour"),
        ] {
            let bad = edited(&base, &changes(&change), Some(5)).unwrap_err();
            assert_eq!(bad.len(), 1, "{change}");
            assert_eq!(bad[0].field, field, "{change}");
        }
        let two = changes(&json!({"quantity": 0, "user_id": "x"}));
        assert_eq!(edited(&base, &two, None).unwrap_err().len(), 2);
    }
}
