-- Operators' personal tokens, for scripts: shown once, of which the SHA-256 stays. Each may do some of what its operator may, until its end.
create table operator_tokens (
    id          binary(16)    not null primary key,
    operator_id binary(16)    not null,
    -- What its owner calls it; each name once.
    name        varchar(64)   character set utf8mb4 collate utf8mb4_unicode_ci not null,
    token_hash  binary(32)    not null,
    -- The permissions it has, with a space between two. One that its operator has not (any more) is none.
    scope       varchar(2000) not null,
    created_at  datetime(3)   not null,
    -- Nothing before it was used; written at most once a minute.
    seen_at     datetime(3),
    ends_at     datetime(3)   not null,
    unique key operator_tokens_by_secret (token_hash),
    unique key operator_tokens_by_name (operator_id, name)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- Wrong passwords of an account, and how long it waits for the next try. A row goes with the right password.
create table operator_lock_outs (
    operator_id binary(16)  not null primary key,
    tries       int         not null,
    -- Of the latest try that was let through.
    tried_at    datetime(3) not null,
    waits_until datetime(3) not null
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
