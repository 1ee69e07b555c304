//! What a receiver's name resolves to is looked at too: a public name may point into one's own network, and may do so only the second
//! time it is asked for. So the connection goes to the very addresses that were looked at, and nobody asks again.

use super::address::{Targets, is_private_address};
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{io, net::SocketAddr, sync::Arc};

/// Asks for a name's addresses.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Answers with the addresses that alerts may be sent to.
pub(super) struct Resolver {
    targets: Targets,
    lookup: Lookup,
}

/// A name that has private addresses alone. It does not repeat the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host's name points to a private address, which alerts.allow_private must allow")]
pub(super) struct PointsInside;

impl Resolver {
    /// One that asks the system.
    pub(super) fn of_system(targets: Targets) -> Self {
        Self::new(
            targets,
            Arc::new(|name| {
                Box::pin(async move {
                    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
                    Ok(found.collect())
                })
            }),
        )
    }

    /// One that asks somebody else.
    pub(super) fn new(targets: Targets, lookup: Lookup) -> Self {
        Self { targets, lookup }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (targets, looking) = (self.targets, (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let mut found = looking.await?;
            let there = found.len();
            if targets == Targets::PublicOnly {
                found.retain(|address| !is_private_address(address.ip()));
            }
            if found.is_empty() && there > 0 {
                return Err(PointsInside.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
