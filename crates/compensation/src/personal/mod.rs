//! What is personal in what failed, and how it is hidden. The one policy of lists, details, exports, JSON, errors and alerts: who shows
//! something to somebody asks here, and nowhere else is decided what is hidden.
//!
//! Personal is who the buyer is (the user's id), what the buyer wrote (the remark), and how the buyer is reached: names of receivers,
//! addresses, phone numbers, e-mail addresses. Those are known by the names of JSON members and headers ([`is_personal`]), and within any
//! text by their shape (`text`). Keys of repetition are as good as passwords and hidden from everybody. Ids of orders, sales and
//! transactions are not personal, and numbers are never touched: what is not hidden is shown as it came, byte for byte.
//!
//! Alerts leave the house, so they are written as somebody sees them who sees nothing personal.

mod json;
mod text;

pub use json::Style;
pub use text::{text, text_about};

use std::borrow::Cow;
use uuid::Uuid;

/// Stands where something is hidden.
pub const MASK: &str = "***";

/// How much somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Everything but keys of repetition.
    Whole,
    /// Nothing personal.
    Masked,
}

/// Names of members, headers and fields, in small letters without what joins words, that hold something personal.
const PERSONAL: [&str; 30] = [
    "address",
    "billingaddress",
    "buyer",
    "buyerid",
    "buyername",
    "cellphone",
    "consignee",
    "contact",
    "customer",
    "customerid",
    "customername",
    "deliveryaddress",
    "email",
    "emailaddress",
    "fullname",
    "mail",
    "mobile",
    "phone",
    "phonenumber",
    "receiver",
    "receivername",
    "recipient",
    "recipientname",
    "remark",
    "remarks",
    "shippingaddress",
    "tel",
    "telephone",
    "userid",
    "username",
];
/// Chosen by the buyer, and as good as a password for repeating the order.
const KEYS: [&str; 2] = ["idempotency", "idempotencykey"];

/// Whether what is called so is personal.
#[must_use]
pub fn is_personal(name: &str) -> bool {
    PERSONAL.binary_search(&&*plain(name)).is_ok()
}

/// Whether what is called so is hidden from somebody who sees so much.
fn is_hidden(name: &str, sight: Sight) -> bool {
    let name = plain(name);
    KEYS.contains(&&*name) || (sight == Sight::Masked && PERSONAL.binary_search(&&*name).is_ok())
}

/// `user_id`, `userId` and `User-Id` are one name.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, '_' | '-' | '.' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// A user's id: its end tells one buyer from the other, and finds nobody.
#[must_use]
pub fn user(id: Uuid, sight: Sight) -> String {
    let whole = id.to_string();
    match sight {
        Sight::Whole => whole,
        Sight::Masked => format!("{MASK}{}", &whole[whole.len() - 4..]),
    }
}

/// The value of a header of a message about this buyer.
#[must_use]
pub fn header(name: &str, value: String, user: Option<Uuid>, sight: Sight) -> String {
    if is_hidden(name, sight) {
        return MASK.to_owned();
    }
    match text_about(&value, user, sight) {
        Cow::Borrowed(_) => value,
        Cow::Owned(masked) => masked,
    }
}

/// A message as text: JSON in the style that is asked for, with its numbers and texts as they came; what is none is hidden from whom
/// nothing personal is shown, for nobody knows what is in it. The id of the buyer it is about is hidden wherever it stands.
#[must_use]
pub fn message(bytes: &[u8], user: Option<Uuid>, sight: Sight, style: Style) -> String {
    json(bytes, user, sight, style).unwrap_or_else(|| opaque(bytes, sight))
}

/// The same, where it is JSON.
#[must_use]
pub fn json(bytes: &[u8], user: Option<Uuid>, sight: Sight, style: Style) -> Option<String> {
    json::masked(std::str::from_utf8(bytes).ok()?, user, sight, style)
}

/// Something that is not JSON: nobody knows what is in it.
#[must_use]
pub fn opaque(bytes: &[u8], sight: Sight) -> String {
    match sight {
        Sight::Masked => format!("{MASK} ({} bytes that are not JSON)", bytes.len()),
        Sight::Whole => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_known_however_they_are_written() {
        assert!(PERSONAL.is_sorted());
        for name in [
            "user_id",
            "userId",
            "USER-ID",
            "User Id",
            "remark",
            "shipping_address",
        ] {
            assert!(is_personal(name), "{name}");
        }
        for name in ["order_id", "quantity", "user", "id", ""] {
            assert!(!is_personal(name), "{name}");
        }
    }

    #[test]
    fn a_user_is_told_from_another_and_not_found() {
        let id = Uuid::from_u128(0x0197_a000_0000_7000_8000_0000_0000_abcd);
        assert_eq!(user(id, Sight::Masked), "***abcd");
        assert_eq!(user(id, Sight::Whole), id.to_string());
    }

    #[test]
    fn what_is_no_json_is_hidden_from_whom_nothing_personal_is_shown() {
        assert_eq!(
            message(b"hello", None, Sight::Whole, Style::Pretty),
            "hello"
        );
        assert_eq!(
            message(b"hello", None, Sight::Masked, Style::Pretty),
            "*** (5 bytes that are not JSON)"
        );
        assert_eq!(
            message(b"{\"a\":\"\xff\"}", None, Sight::Masked, Style::Pretty),
            "*** (9 bytes that are not JSON)"
        );
    }

    #[test]
    fn headers_are_hidden_by_name_and_by_what_they_hold() {
        let seen = |name, value: &str, sight| header(name, value.to_owned(), None, sight);
        assert_eq!(seen("Idempotency-Key", "k", Sight::Whole), "***");
        assert_eq!(seen("user-id", "7", Sight::Whole), "7");
        assert_eq!(seen("user-id", "7", Sight::Masked), "***");
        assert_eq!(
            seen("cause", "mail to a@b.example failed", Sight::Masked),
            "mail to *** failed"
        );
    }
}
