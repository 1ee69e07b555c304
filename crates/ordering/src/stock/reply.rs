//! What a script answers: a code first, then what the code needs.

use super::StockError;
use redis::{RedisError, Value};

/// One script's answer.
pub(super) struct Reply(Vec<Value>);

impl Reply {
    /// Sorts an answer of Redis: fenced in any of its ways, no answer, or a script's reply.
    pub fn of(answer: Result<Vec<Value>, RedisError>) -> Result<Self, StockError> {
        match answer {
            Ok(values) => {
                let reply = Self(values);
                if reply.code() == "fenced" {
                    Err(StockError::Fenced)
                } else {
                    Ok(reply)
                }
            }
            // The server says no before a script runs: nothing was written.
            Err(cause) => match cause.code() {
                Some("NOSCRIPT" | "LOADING" | "READONLY" | "MASTERDOWN") => Err(StockError::Fenced),
                Some("OOM") => Err(StockError::Full),
                _ => Err(StockError::NoAnswer(cause)),
            },
        }
    }

    pub fn code(&self) -> &str {
        match self.0.first() {
            Some(Value::BulkString(bytes)) => std::str::from_utf8(bytes).unwrap_or_default(),
            Some(Value::SimpleString(text)) => text,
            _ => "",
        }
    }

    /// The value at `index`, the code being 0.
    pub fn get<T: redis::FromRedisValue>(&self, index: usize) -> Result<T, StockError> {
        let value = self.0.get(index).cloned().unwrap_or(Value::Nil);
        T::from_redis_value(value).map_err(|cause| StockError::NoAnswer(cause.into()))
    }

    /// An id at `index`.
    pub fn id<T: std::str::FromStr<Err = uuid::Error>>(
        &self,
        index: usize,
    ) -> Result<T, StockError> {
        self.get::<String>(index)?
            .parse()
            .map_err(|_| self.unexpected())
    }

    /// Everything after the code.
    pub fn rest(&self) -> &[Value] {
        self.0.get(1..).unwrap_or_default()
    }

    /// This reply, where its code has no meaning.
    pub fn unexpected(&self) -> StockError {
        StockError::UnknownReply(format!("{:.200}", format!("{:?}", self.0)))
    }
}
