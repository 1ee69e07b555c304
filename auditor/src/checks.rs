//! Everything the auditor checks, one name each: which promise it belongs to and how it reads in the table.

use serde::Serialize;

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident = $promise:literal, $title:literal;)*) => {
        /// One thing that must hold, wherever it is looked at.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Check { $($(#[$doc])* $name,)* }

        impl Check {
            /// All of them, by promise.
            pub const ALL: &'static [Check] = &[$(Check::$name),*];

            /// The number of the promise it is part of.
            #[must_use]
            pub const fn promise(self) -> u8 {
                match self { $(Self::$name => $promise,)* }
            }

            /// How the table calls it.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

checks! {
    /// Each row of `sale_inventory`.
    MysqlConserved = 1, "MySQL: total = available + sold, nothing negative";
    /// Each sale: `sold` against the units of its taken orders.
    SoldIsTaken = 1, "MySQL: sold is what the taken orders add up to";
    /// Each row of `sale_buyers`, and each buyer with taken orders.
    BuyersAgree = 1, "MySQL: a buyer's units are those of their orders";
    /// Each row of `sale_buyers` against the sale's limit.
    LimitKept = 1, "MySQL: no buyer above per_user_limit";
    /// Each (sale, user, idempotency key): one granted order.
    OneOrderPerKey = 1, "MySQL: one order per idempotency key";
    /// Each sale's hash.
    RedisConserved = 1, "Redis: total = available + held + sold - owed, nothing negative";
    /// Each sale's hash against its row.
    RedisAgrees = 1, "at rest Redis and MySQL have the same numbers";
    /// Each buyer's units in Redis against MySQL.
    RedisBuyersAgree = 1, "at rest Redis and MySQL have the same buyers";
    /// Each sample of a hash or row taken while the sale ran.
    ConservedMeanwhile = 1, "conserved in every sample taken while it ran";
    /// Each request that was answered 202.
    AcceptedHasRow = 2, "every 202 has its order row";
    /// Each order row.
    EndState = 2, "every order is in an end state, refusals with a reason";
    /// Each order message on the topics.
    MessageSettled = 2, "every order message has a row or a dead letter";
    /// Each order row of a sale the journal knows.
    AskedFor = 2, "every order row was asked for";
    /// Each order row, while the topic is complete.
    RowHasMessage = 2, "every order row came through the topic";
    /// Each order row whose request was answered: the ids agree, nothing refused was granted.
    AnswerKept = 2, "what buyers were told is what is stored";
    /// Each order whose transaction is still stored.
    FitsTransaction = 2, "order and transaction agree on the outcome";
    /// Each sale's hash and pending index.
    NothingHeld = 3, "no sale has units held or owed, or a reservation pending";
    /// Each reservation record of a sale's epoch.
    NoReservationLeft = 3, "no reservation is left reserved or prepared";
    /// Each transaction.
    TransactionFinished = 3, "no transaction is unfinished or stuck";
    /// Each message on the orders topic that is not an order.
    PoisonHasDeadLetter = 4, "every poison message has its dead letter";
    /// Each dead letter that names a message of the orders topic.
    DeadLetterTrue = 4, "every dead letter is the message it names";
    /// Each failed order: its row names the transaction that gave it up.
    FailedIsArchived = 4, "every failed order is in the archive";
    /// Each row of the archive: message, and of an order its tries.
    ArchiveIsWhole = 4, "what is archived has its message and all its tries";
    /// Each archived order against its row.
    ArchiveFits = 4, "an archived order is open for as long as it is failed";
    /// Each row of the archive, for each time it was given up.
    ArchivedIsTold = 4, "whatever was archived has its alert";
    /// Each alert.
    AlertShown = 4, "every alert is delivered, or shown as undelivered";
    /// Each order on the compensation topic and among the dead letters, and the message of each that was taken in.
    HandedOnKept = 4, "every order that was handed on was taken in";
    /// Each transaction that was given up, while the dead letters are complete.
    GivenUpIsDeadLetter = 4, "every order that was given up was a dead letter";
    /// Each dead letter that is not an order.
    DeadLetterArchived = 4, "every dead letter that is no order is in the archive";
    /// Each order that failed: its generations, the archive and the table of tries.
    OneHistory = 4, "an order that failed has one history";
    /// Each answer to a request that was accepted before.
    SameAnswer = 5, "a repeat gets the stored answer";
    /// Each transaction that took effect, and each message.
    OneTransaction = 5, "an order's generation has one transaction";
    /// Each replay against its transaction.
    ReplayTrue = 5, "a replay came to what its transaction says";
    /// The whole stack, within the time given.
    SettledInTime = 6, "settled by itself within the time given";
    /// Each partition of the topics.
    NoLag = 6, "the consumer groups are caught up";
    /// Each order that was handed on.
    CompensationSettled = 6, "no order waits to be tried again";
    /// Each replay.
    ReplaysFinished = 6, "no replay is unfinished";
    /// Each sale.
    NoFence = 6, "no sale is fenced";
}

/// The promise's title in the verdict.
#[must_use]
pub const fn promise_title(promise: u8) -> &'static str {
    match promise {
        1 => "never oversold, never doubled",
        2 => "202 means it is settled",
        3 => "no stranded stock",
        4 => "no silent failure",
        5 => "every repeat is safe",
        _ => "recovery by itself",
    }
}
