//! The body and the headers of a request for an order, read and checked.

use crate::problems;
use axum::http::HeaderMap;
use ordering::{Quantity, message::Idempotency};
use serde::{Deserialize, Serialize};
use service_kit::problem::Problem;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

const REMARK_AT_MOST: usize = 500;
const KEY_AT_MOST: usize = 128;

/// What is ordered. Its canonical form is what an idempotency key is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    /// Units.
    #[schema(value_type = u32, minimum = 1, maximum = 100)]
    pub quantity: Quantity,
    /// Free text.
    #[schema(max_length = 500)]
    pub remark: Option<Remark>,
}

/// Free text of the buyer, at most 500 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String")]
pub(crate) struct Remark(String);

impl Remark {
    pub fn into_text(self) -> String {
        self.0
    }
}

impl TryFrom<String> for Remark {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let characters = text.chars().count();
        if characters > REMARK_AT_MOST {
            return Err(format!(
                "remark may have {REMARK_AT_MOST} characters, not {characters}"
            ));
        }
        Ok(Self(text))
    }
}

/// What makes a repeat of `order` recognisable, when the buyer sent a key.
///
/// # Errors
/// 422 when the key is none, or there are several.
pub(crate) fn idempotency(
    headers: &HeaderMap,
    order: &NewOrder,
) -> Result<Option<Idempotency>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let key = key.as_bytes();
    let usable = (1..=KEY_AT_MOST).contains(&key.len())
        && key.iter().all(u8::is_ascii_graphic)
        && keys.next().is_none();
    match std::str::from_utf8(key) {
        Ok(key) if usable => Ok(Some(Idempotency {
            key: key.to_owned(),
            body_hash: digest(order),
        })),
        _ => Err(problems::invalid(format!(
            "Idempotency-Key must be 1 to {KEY_AT_MOST} visible ASCII characters, sent once"
        ))),
    }
}

/// The request's `traceparent`, when it looks like one.
pub(crate) fn trace(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    (text.len() == 55
        && text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit()))
    .then(|| text.to_owned())
}

/// SHA-256 in hexadecimal of the order as parsed: neither spaces nor the order of fields make another body.
fn digest(order: &NewOrder) -> String {
    let canonical = serde_json::to_vec(order)
        .unwrap_or_else(|cause| unreachable!("plain fields always serialise: {cause}"));
    Sha256::digest(&canonical)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(json: &str) -> NewOrder {
        serde_json::from_str(json).expect("an order")
    }

    #[test]
    fn spaces_and_order_of_fields_do_not_make_another_body() {
        let one = digest(&order(r#"{"quantity":1,"remark":"a"}"#));
        assert_eq!(one, digest(&order(r#"{ "remark" : "a", "quantity": 1 }"#)));
        assert_ne!(one, digest(&order(r#"{"quantity":1}"#)));
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn a_remark_has_at_most_500_characters() {
        assert!(serde_json::from_value::<Remark>("ü".repeat(500).into()).is_ok());
        assert!(serde_json::from_value::<Remark>("ü".repeat(501).into()).is_err());
    }

    #[test]
    fn a_key_is_visible_ascii_sent_once() {
        let order = order(r#"{"quantity":1}"#);
        let with = |keys: &[&str]| {
            let mut headers = HeaderMap::new();
            for key in keys {
                headers.append("idempotency-key", key.parse().expect("a header value"));
            }
            idempotency(&headers, &order)
        };
        assert!(matches!(with(&[]), Ok(None)));
        assert!(matches!(with(&["a"]), Ok(Some(_))));
        assert!(matches!(with(&[&"k".repeat(128)]), Ok(Some(_))));
        for bad in [
            &[""][..],
            &["a b"],
            &["é"],
            &["a", "a"],
            &[&"k".repeat(129)],
        ] {
            assert!(with(bad).is_err(), "{bad:?}");
        }
    }
}
