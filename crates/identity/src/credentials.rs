//! What a name, an address and a password must look like before an account is made with them. Checked once, here.

use std::fmt;

/// 3 to 64 ASCII letters, digits, `.`, `_` or `-`. Never an `@`: that tells a name from an e-mail address at log-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

/// Something, one `@`, something; no blanks; at most 254 characters. Whether anyone reads it, only a message can tell.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

/// 8 to 128 characters, any.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Why an account cannot be made like this. Repeats nothing of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// See [`Username`].
    #[error("username must be 3 to 64 letters, digits, '.', '_' or '-'")]
    Username,
    /// See [`Email`].
    #[error("email must be an address of at most 254 characters")]
    Email,
    /// See [`Password`].
    #[error("password must have 8 to 128 characters")]
    Password,
}

impl Username {
    /// # Errors
    /// [`Invalid::Username`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
        let fits = (3..=64).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned())).ok_or(Invalid::Username)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Email {
    /// # Errors
    /// [`Invalid::Email`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let short = text.chars().count() <= 254;
        let plain = !text
            .chars()
            .any(|letter| letter.is_whitespace() || letter.is_control());
        let parts = text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
        });
        (short && plain && parts)
            .then(|| Self(text.to_owned()))
            .ok_or(Invalid::Email)
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Password {
    /// # Errors
    /// [`Invalid::Password`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let fits = (8..=128).contains(&text.chars().count());
        fits.then(|| Self(text.to_owned())).ok_or(Invalid::Password)
    }

    /// The password, for the one call that hashes it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(***)")
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_has_3_to_64_plain_characters() {
        assert!(
            ["abc", "A.b_c-9", &"a".repeat(64)]
                .iter()
                .all(|name| Username::parse(name).is_ok())
        );
        let bad = [
            "",
            "ab",
            "a b",
            "a@b",
            "müller",
            "a/b",
            "abc\n",
            &"a".repeat(65),
        ];
        assert!(
            bad.iter()
                .all(|name| Username::parse(name) == Err(Invalid::Username))
        );
    }

    #[test]
    fn an_address_has_one_at_sign_between_two_parts() {
        assert!(
            ["a@b", "jo.e+x@example.org", "ü@bücher.example"]
                .iter()
                .all(|address| Email::parse(address).is_ok())
        );
        let long = format!("{}@example.org", "a".repeat(250));
        let bad = [
            "", "a", "@b", "a@", "a@b@c", "a b@c", "a@.b", "a@b.", "a@b\n", &long,
        ];
        assert!(
            bad.iter()
                .all(|address| Email::parse(address) == Err(Invalid::Email))
        );
    }

    #[test]
    fn a_password_has_8_to_128_characters_of_any_kind() {
        assert!(
            ["12345678", "пароль-длинный", &"x".repeat(128)]
                .iter()
                .all(|password| Password::parse(password).is_ok())
        );
        assert!(
            ["", "1234567", &"x".repeat(129)]
                .iter()
                .all(|password| Password::parse(password).is_err())
        );
    }

    #[test]
    fn neither_password_nor_address_ends_up_in_a_log() {
        let shown = format!(
            "{:?} {:?}",
            Password::parse("secret-secret"),
            Email::parse("joe@example.org")
        );
        assert!(!shown.contains("secret") && !shown.contains("joe"));
    }
}
