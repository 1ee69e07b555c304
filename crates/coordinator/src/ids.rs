//! The names a transaction goes by. All are opaque to the engine: it compares them and stores them, nothing else.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id that came from elsewhere.
            #[must_use]
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as it is stored.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_newtype! {
    /// One transaction, for ever: what a repeat carries so that it is recognised.
    Gid
}

uuid_newtype! {
    /// What a transaction contends for. Two batches of one label are never decided at once.
    Label
}

uuid_newtype! {
    /// One attempt to decide one batch. Rows that carry it were decided by that attempt and no other.
    Token
}

impl Token {
    /// A token nobody has used.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}
