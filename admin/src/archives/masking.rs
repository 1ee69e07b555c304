//! What of a message is hidden from whom. One policy, for pages and JSON.

use identity::OperatorRole;
use serde_json::Value;

const MASK: &str = "***";
/// Chosen by the buyer, and as good as a password for repeating the order.
const KEYS: [&str; 3] = ["idempotency", "idempotency_key", "idempotency-key"];
/// What the buyer wrote.
const REMARKS: [&str; 1] = ["remark"];

/// The payload pretty-printed, if it is JSON; else as text, and hidden from viewers, for nobody knows what is in it.
pub(crate) fn payload(bytes: &[u8], role: OperatorRole) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(mut value) => {
            mask(&mut value, role);
            serde_json::to_string_pretty(&value).unwrap_or_default()
        }
        Err(_) => text(bytes, role),
    }
}

/// Something that is not JSON: nobody knows what is in it.
pub(super) fn text(bytes: &[u8], role: OperatorRole) -> String {
    if role < OperatorRole::Operator {
        format!("{MASK} ({} bytes that are not JSON)", bytes.len())
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// The payload for programs: the same, as JSON where it is.
pub(crate) fn payload_json(bytes: &[u8], role: OperatorRole) -> Value {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(mut value) => {
            mask(&mut value, role);
            value
        }
        Err(_) => Value::String(payload(bytes, role)),
    }
}

/// A header's value.
pub(super) fn header(name: &str, value: String) -> String {
    if KEYS.contains(&name.to_ascii_lowercase().as_str()) {
        MASK.to_owned()
    } else {
        value
    }
}

fn mask(value: &mut Value, role: OperatorRole) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let hidden = KEYS.contains(&name.as_str())
                    || (role < OperatorRole::Operator && REMARKS.contains(&name.as_str()));
                if hidden && !value.is_null() {
                    *value = MASK.into();
                } else {
                    mask(value, role);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, role)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_hidden_from_all_and_remarks_from_viewers() {
        let message = json!({"order": {"remark": "ring twice", "idempotency": {"key": "k"}, "quantity": 1}, "remark": null});
        let bytes = message.to_string();
        let shown = |role| payload_json(bytes.as_bytes(), role);
        assert_eq!(
            shown(OperatorRole::Viewer),
            json!({"order": {"remark": "***", "idempotency": "***", "quantity": 1}, "remark": null})
        );
        assert_eq!(
            shown(OperatorRole::Operator)["order"]["remark"],
            "ring twice"
        );
        assert_eq!(shown(OperatorRole::Admin)["order"]["idempotency"], "***");
    }

    #[test]
    fn what_is_no_json_is_hidden_from_viewers() {
        assert_eq!(payload(b"hello", OperatorRole::Operator), "hello");
        assert_eq!(
            payload(b"hello", OperatorRole::Viewer),
            "*** (5 bytes that are not JSON)"
        );
    }
}
