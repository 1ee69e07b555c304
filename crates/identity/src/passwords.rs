//! Hashing and checking passwords with argon2id.
//!
//! A hash takes 19 MiB and some 20 ms of a core, so at most two are computed at once in a process, on threads where blocking is
//! allowed; the others wait. The password of an account that is not there is checked too, so that its time tells nothing.

use crate::credentials::Password;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use std::sync::{LazyLock, OnceLock};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Computed at once in this process: 40 MiB.
const AT_ONCE: usize = 2;

static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(AT_ONCE));

/// A hash could not be computed: no randomness, no memory, or a stop.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PasswordError(String);

/// The hash to be stored, with a salt of its own.
///
/// # Errors
/// [`PasswordError`].
pub async fn hash(password: &Password) -> Result<String, PasswordError> {
    let password = password.expose().to_owned();
    in_turn(move || hashed(&password)).await?
}

/// Whether `password` is the one of `hash`; without a hash it is wrong, after the same time. A malformed hash fits no password.
///
/// # Errors
/// [`PasswordError`].
pub async fn verify(password: &str, hash: Option<&str>) -> Result<bool, PasswordError> {
    let (password, hash) = (password.to_owned(), hash.map(str::to_owned));
    in_turn(move || {
        if let Some(Ok(hash)) = hash.as_deref().map(PasswordHash::new) {
            return Ok(Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok());
        }
        let _ = Argon2::default().verify_password(password.as_bytes(), nobodys()?);
        Ok(false)
    })
    .await?
}

/// The hash of a password nobody has, of the same cost as everyone's.
fn nobodys() -> Result<&'static PasswordHash, PasswordError> {
    static NOBODYS: OnceLock<PasswordHash> = OnceLock::new();
    if let Some(hash) = NOBODYS.get() {
        return Ok(hash);
    }
    let hash = Argon2::default()
        .hash_password(b"nobody")
        .map_err(|cause| PasswordError(cause.to_string()))?;
    Ok(NOBODYS.get_or_init(|| hash))
}

fn hashed(password: &str) -> Result<String, PasswordError> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|cause| PasswordError(cause.to_string()))?;
    Ok(hash.to_string())
}

async fn in_turn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PasswordError> {
    let turn = TURNS
        .acquire()
        .await
        .map_err(|cause| PasswordError(cause.to_string()))?;
    // The turn goes with the work: whoever stops waiting for it does not let a third one in.
    spawn_blocking(move || {
        let _turn = turn;
        work()
    })
    .await
    .map_err(|cause| PasswordError(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn only_the_right_password_fits_its_hash() {
        let hash = hash(&Password::parse("correct horse").unwrap())
            .await
            .unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify("correct horse", Some(&hash)).await.unwrap());
        assert!(!verify("correct horsf", Some(&hash)).await.unwrap());
        assert!(!verify("", Some(&hash)).await.unwrap());
        assert!(!verify("correct horse", Some("no hash")).await.unwrap());
        assert!(
            !verify("nobody", None).await.unwrap(),
            "the stand-in's password opens nothing"
        );
    }

    #[tokio::test]
    async fn an_account_that_is_not_there_takes_as_long_as_one_that_is() {
        let hash = hash(&Password::parse("correct horse").unwrap())
            .await
            .unwrap();
        verify("warm up", None).await.unwrap();
        let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
        for _ in 0..5 {
            let since = Instant::now();
            verify("wrong", Some(&hash)).await.unwrap();
            known = known.min(since.elapsed());
            let since = Instant::now();
            verify("wrong", None).await.unwrap();
            unknown = unknown.min(since.elapsed());
        }
        assert!(
            unknown > known / 2,
            "{unknown:?} for an unknown account, {known:?} for a known one"
        );
    }
}
