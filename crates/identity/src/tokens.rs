//! Bearer tokens: JWTs signed with HS256, good until they expire. No database is asked, so none can be taken back earlier.

use crate::{Role, UserId};
use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// Mints and checks tokens of one secret. Cloning shares it.
#[derive(Clone)]
pub struct Tokens(Arc<Keys>);

struct Keys {
    header: Header,
    sign: EncodingKey,
    check: DecodingKey,
    rules: Validation,
    ttl: Duration,
}

/// Who a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// The account.
    pub user_id: UserId,
    /// What it was when the token was minted.
    pub role: Role,
}

/// A token that proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// Malformed, signed with another key or algorithm or not at all, or without what a token must say.
    #[error("the token is not one of ours")]
    Forged(#[source] jsonwebtoken::errors::Error),
}

/// Times in seconds since 1970.
#[derive(Serialize, Deserialize)]
struct Signed {
    sub: UserId,
    role: Role,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// Tokens signed with `secret` (at least 32 bytes) and good for `ttl`, counted in whole seconds.
    #[must_use]
    pub fn new(secret: &str, ttl: Duration) -> Self {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_required_spec_claims(&["exp", "sub"]);
        rules.leeway = 0;
        // Not good any more in the second it expires in.
        rules.reject_tokens_expiring_in_less_than = 1;
        Self(Arc::new(Keys {
            header: Header::new(Algorithm::HS256),
            sign: EncodingKey::from_secret(secret.as_bytes()),
            check: DecodingKey::from_secret(secret.as_bytes()),
            rules,
            ttl,
        }))
    }

    /// A token for `user`.
    #[must_use]
    pub fn mint(&self, user: UserId, role: Role) -> String {
        let now = Utc::now().timestamp();
        let exp = now.saturating_add_unsigned(self.0.ttl.as_secs());
        let signed = Signed {
            sub: user,
            role,
            iat: now,
            exp,
        };
        encode(&self.0.header, &signed, &self.0.sign).unwrap_or_else(|cause| {
            unreachable!("four plain claims signed by an HMAC key cannot fail: {cause}")
        })
    }

    /// Who the token belongs to.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let data = decode::<Signed>(token, &self.0.check, &self.0.rules).map_err(|cause| {
            match cause.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Forged(cause),
            }
        })?;
        Ok(Claims {
            user_id: data.claims.sub,
            role: data.claims.role,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens() -> Tokens {
        Tokens::new(SECRET, Duration::from_hours(1))
    }

    fn signed(header: &Header, claims: &serde_json::Value, secret: &str) -> String {
        encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn claims(exp: i64) -> serde_json::Value {
        serde_json::json!({"sub": UserId::fresh(), "role": "buyer", "iat": 0, "exp": exp})
    }

    fn soon() -> i64 {
        Utc::now().timestamp() + 60
    }

    #[test]
    fn a_token_says_who_it_was_minted_for() {
        let (tokens, user) = (tokens(), UserId::fresh());
        for role in Role::ALL {
            assert_eq!(
                tokens.verify(&tokens.mint(user, role)).unwrap(),
                Claims {
                    user_id: user,
                    role
                }
            );
        }
    }

    #[test]
    fn a_token_is_not_good_in_the_second_it_expires_in() {
        let expired = Tokens::new(SECRET, Duration::ZERO).mint(UserId::fresh(), Role::Buyer);
        assert!(matches!(
            tokens().verify(&expired),
            Err(TokenError::Expired)
        ));
        let old = signed(&Header::default(), &claims(1), SECRET);
        assert!(matches!(tokens().verify(&old), Err(TokenError::Expired)));
    }

    #[test]
    fn a_token_of_another_key_or_algorithm_is_forged() {
        let tokens = tokens();
        let other_key = signed(
            &Header::default(),
            &claims(soon()),
            "another secret of thirty-two bytes",
        );
        let other_algorithm = signed(&Header::new(Algorithm::HS512), &claims(soon()), SECRET);
        let ours = tokens.mint(UserId::fresh(), Role::Buyer);
        let (_, rest) = ours.split_once('.').unwrap();
        // {"alg":"none","typ":"JWT"}
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let unsigned = format!("{none}.{}.", rest.split_once('.').unwrap().0);
        let relabelled = format!("{none}.{rest}");
        let changed = ours.replace(&rest[..8], "eyJzdWIA");
        for forged in [
            &other_key,
            &other_algorithm,
            &unsigned,
            &relabelled,
            &changed,
            "",
            "a.b.c",
            "..",
            "ü",
        ] {
            assert!(
                matches!(tokens.verify(forged), Err(TokenError::Forged(_))),
                "{forged}"
            );
        }
    }

    #[test]
    fn a_token_must_say_who_what_and_until_when() {
        for missing in ["sub", "role", "exp"] {
            let mut claims = claims(soon());
            claims.as_object_mut().unwrap().remove(missing);
            let token = signed(&Header::default(), &claims, SECRET);
            assert!(
                matches!(tokens().verify(&token), Err(TokenError::Forged(_))),
                "without {missing}"
            );
        }
        let mut root = claims(soon());
        root["role"] = "root".into();
        assert!(
            tokens()
                .verify(&signed(&Header::default(), &root, SECRET))
                .is_err()
        );
    }
}
