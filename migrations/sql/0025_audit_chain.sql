-- The audit is a chain (crates/audit/src/chain.rs): each line's hash is made of its text and of the hash before it.
alter table audit_log
    -- What it belongs to: the operation that was asked for, steered, or that an item of was ended.
    add column operation_id binary(16) null,
    -- Null in lines from before the chain, until the first line after them takes them in.
    add column prev binary(32) null,
    add column hash binary(32) null,
    add key audit_log_by_operator (operator, id),
    add key audit_log_by_act (act, id),
    add key audit_log_by_outcome (outcome, id),
    add key audit_log_by_operation (operation_id, id),
    add key audit_log_by_time (at);

-- One row: where the chain ends. Whoever writes a line locks it, last of all locks of the transaction.
create table audit_head (
    id      tinyint     not null primary key,
    -- 0: nothing is chained yet.
    last_id bigint      not null,
    hash    binary(32)  not null,
    -- Of the last line: no line is older than the one before it.
    at      datetime(3) not null
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

insert into audit_head (id, last_id, hash, at) values (1, 0, repeat(char(0), 32), '1970-01-01 00:00:00');
