//! The scripts as Redis gets them. Only a rebuild loads them; everyone else names them by digest and takes `NOSCRIPT` for the fence.

use redis::{Cmd, RedisResult, Script, aio::MultiplexedConnection};
use std::sync::OnceLock;

macro_rules! script {
    ($shebang:literal, $file:literal) => {
        Stored::new(concat!(
            $shebang,
            "\n",
            include_str!("../lua/prelude.lua"),
            include_str!(concat!("../lua/", $file))
        ))
    };
}

/// One script of a sale.
pub(crate) struct Stored {
    code: &'static str,
    digest: OnceLock<String>,
}

impl Stored {
    const fn new(code: &'static str) -> Self {
        Self {
            code,
            digest: OnceLock::new(),
        }
    }

    fn digest(&self) -> &str {
        self.digest
            .get_or_init(|| Script::new(self.code).get_hash().to_owned())
    }

    /// The bare call by digest: it never loads anything.
    pub(super) fn call(&self, keys: &[String]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.digest()).arg(keys.len()).arg(keys);
        call
    }

    /// Loads it, which opens the fence for the sales whose hashes are open.
    pub(crate) async fn load_async(&self, redis: &mut MultiplexedConnection) -> RedisResult<()> {
        redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(self.code)
            .exec_async(redis)
            .await
    }
}

/// Without `allow-oom`, alone among all: with a full memory nothing new is begun.
pub(super) static RESERVE: Stored = script!("#!lua", "reserve.lua");
pub(super) static WITHDRAW: Stored = script!("#!lua flags=allow-oom", "withdraw.lua");
pub(super) static PREPARE: Stored = script!("#!lua flags=allow-oom", "prepare.lua");
pub(super) static CONFIRM: Stored = script!("#!lua flags=allow-oom", "confirm.lua");
pub(super) static RELEASE: Stored = script!("#!lua flags=allow-oom", "release.lua");
pub(super) static RETURN: Stored = script!("#!lua flags=allow-oom", "return.lua");
pub(super) static SET: Stored = script!("#!lua flags=allow-oom", "set.lua");
pub(super) static RESERVATION: Stored = script!("#!lua flags=allow-oom", "reservation.lua");
pub(super) static OVERDUE: Stored = script!("#!lua flags=allow-oom", "overdue.lua");
pub(super) static PUBLISH_AGAIN: Stored = script!("#!lua flags=allow-oom", "publish_again.lua");

/// Every script a sale needs.
pub(crate) static ALL: [&Stored; 10] = [
    &RESERVE,
    &WITHDRAW,
    &PREPARE,
    &CONFIRM,
    &RELEASE,
    &RETURN,
    &SET,
    &RESERVATION,
    &OVERDUE,
    &PUBLISH_AGAIN,
];

/// The digests of [`ALL`].
pub(crate) fn digests() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|script| script.digest())
}
