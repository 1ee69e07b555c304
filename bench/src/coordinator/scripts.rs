//! The stock scripts as text, for whoever calls Redis without the product: the same bytes, so the same digests.

use redis::{Cmd, RedisResult, aio::MultiplexedConnection};

/// What one call takes at most, as in the product.
pub const GIDS_A_CALL: usize = 200;

macro_rules! script {
    ($shebang:literal, $file:literal) => {
        concat!(
            $shebang,
            "\n",
            include_str!("../../../crates/ordering/src/lua/prelude.lua"),
            include_str!(concat!("../../../crates/ordering/src/lua/", $file))
        )
    };
}

const RESERVE: &str = script!("#!lua", "reserve.lua");
const PREPARE: &str = script!("#!lua flags=allow-oom", "prepare.lua");
const CONFIRM: &str = script!("#!lua flags=allow-oom", "confirm.lua");

/// The digests of the scripts an order needs.
#[derive(Debug, Clone)]
pub struct Scripts {
    reserve: String,
    prepare: String,
    confirm: String,
}

impl Scripts {
    /// Loads them, which changes nothing where they are loaded already.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn load(redis: &mut MultiplexedConnection) -> RedisResult<Self> {
        Ok(Self {
            reserve: load(redis, RESERVE).await?,
            prepare: load(redis, PREPARE).await?,
            confirm: load(redis, CONFIRM).await?,
        })
    }

    /// Units taken for one order; KEYS and ARGV as `reserve.lua` lists them.
    #[must_use]
    pub fn reserve(&self, keys: &[String]) -> Cmd {
        call(&self.reserve, keys)
    }

    /// Reservations asked; KEYS and ARGV as `prepare.lua` lists them.
    #[must_use]
    pub fn prepare(&self, keys: &[String]) -> Cmd {
        call(&self.prepare, keys)
    }

    /// Reservations sold; KEYS and ARGV as `confirm.lua` lists them.
    #[must_use]
    pub fn confirm(&self, keys: &[String]) -> Cmd {
        call(&self.confirm, keys)
    }
}

async fn load(redis: &mut MultiplexedConnection, code: &str) -> RedisResult<String> {
    redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(code)
        .query_async(redis)
        .await
}

fn call(digest: &str, keys: &[String]) -> Cmd {
    let mut call = redis::cmd("EVALSHA");
    call.arg(digest).arg(keys.len()).arg(keys);
    call
}
