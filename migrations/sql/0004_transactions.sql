-- The coordinator's log of decisions. A row that is committing or rolling_back still owes its participants a call.
create table transactions (
    gid         binary(16)   not null primary key,
    kind        varchar(16)  not null,
    -- Opaque to the coordinator; of an order it is the sale.
    label       binary(16)   not null,
    state       varchar(24)  not null,
    -- The batch that decided it. A reply to COMMIT that never came is settled by reading who holds the row.
    token       binary(16)   not null,
    epoch       bigint       not null,
    reason      varchar(64)  null,
    -- What a participant needs to complete its branch again, as JSON.
    payload     varchar(1000) not null,
    attempts    int          not null,
    -- When recovery looks next, by this server's clock.
    due_at      datetime(3)  not null,
    last_error  varchar(500) null,
    created_at  datetime(3)  not null,
    finished_at datetime(3)  null,
    key transactions_by_due (state, due_at),
    constraint transactions_state check (state in
        ('begun', 'prepared', 'committing', 'committed', 'rolling_back', 'rolled_back', 'stuck_committing', 'stuck_rolling_back'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
