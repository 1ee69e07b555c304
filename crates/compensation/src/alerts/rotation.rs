//! Two secrets of one robot, while the old one is changed for a new one: a request has one signature, and which of the two the robot knows
//! by now nobody else does. So none is lost in between: what is refused with the one is sent once more with the other, which is kept to from
//! then on. Where a request may have several signatures (Standard Webhooks) it has them all instead.

use super::Delivered;
use service_kit::settings::Secret;
use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The new secret and the old one; most of the time there is one.
pub(super) struct Rotation {
    secrets: Vec<Secret>,
    /// The place of the one that was taken last.
    known: AtomicUsize,
}

impl Rotation {
    /// Separated by spaces. None at all signs nothing.
    pub(super) fn of(secrets: &Secret) -> Self {
        let mut secrets: Vec<_> = secrets
            .expose()
            .split_whitespace()
            .map(Secret::new)
            .collect();
        if secrets.is_empty() {
            secrets.push(Secret::default());
        }
        Self {
            secrets,
            known: AtomicUsize::new(0),
        }
    }

    /// Sends with the secret that was taken last. Where the receiver refuses that, which may be for the signature, once more with the other.
    pub(super) async fn send<'a, F>(&'a self, send: impl Fn(&'a Secret) -> F) -> Delivered
    where
        F: Future<Output = Delivered>,
    {
        let first = self.known.load(Ordering::Relaxed);
        let what = send(&self.secrets[first]).await;
        let is_refused = matches!(what, Delivered::Broken(_));
        if self.secrets.len() < 2 || !is_refused {
            return what;
        }
        let other = (first + 1) % self.secrets.len();
        let again = send(&self.secrets[other]).await;
        if again.has_arrived() {
            self.known.store(other, Ordering::Relaxed);
        }
        match again {
            Delivered::Broken(_) => what,
            again => again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Sends while the receiver knows that secret; which were tried.
    async fn tried(rotation: &Rotation, known: &str) -> (Delivered, Vec<String>) {
        let tried = Mutex::new(Vec::new());
        let what = rotation.send(|secret| {
            tried.lock().unwrap().push(secret.expose().to_owned());
            let known = secret.expose() == known;
            async move {
                if known {
                    Delivered::Sent
                } else {
                    Delivered::Broken("sign not match".to_owned())
                }
            }
        });
        let what = what.await;
        (what, tried.into_inner().unwrap())
    }

    /// Breaks when what is refused is not tried with the other secret, and when it is not remembered which one was taken.
    #[tokio::test]
    async fn whichever_secret_the_receiver_knows_it_is_told_and_only_asked_twice_when_it_changes() {
        let rotation = Rotation::of(&Secret::new("new old"));
        for (known, tries) in [
            ("old", vec!["new", "old"]),
            ("old", vec!["old"]),
            ("new", vec!["old", "new"]),
            ("new", vec!["new"]),
        ] {
            let came = tried(&rotation, known).await;
            assert_eq!(
                came,
                (
                    Delivered::Sent,
                    tries.iter().map(ToString::to_string).collect()
                )
            );
        }
        let (what, tries) = tried(&rotation, "another").await;
        assert!(matches!(what, Delivered::Broken(_)) && tries.len() == 2);
        for alone in ["new", ""] {
            let (what, tries) = tried(&Rotation::of(&Secret::new(alone)), "another").await;
            assert!(matches!(what, Delivered::Broken(_)));
            assert_eq!(tries, [alone]);
        }
    }
}
