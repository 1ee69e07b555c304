//! HMAC-SHA256 in base64, which every vendor that signs uses. Written apart from the sender's code, so that an error there is seen here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Base64 of HMAC-SHA256 over the parts, one after the other.
pub(super) fn signature(key: &[u8], parts: &[&[u8]]) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        hmac.update(part);
    }
    STANDARD.encode(hmac.finalize().into_bytes())
}

/// What base64 stands for; `None` when it is none.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
