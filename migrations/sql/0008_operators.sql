-- People who may use the admin. Accounts of their own: a buyer's account opens nothing there.
create table operators (
    id            binary(16)   not null primary key,
    username      varchar(64)  character set utf8mb4 collate utf8mb4_unicode_ci not null,
    password_hash varchar(255) not null,
    role          varchar(16)  not null,
    -- A generated password opens nothing but the page that changes it.
    must_change   tinyint(1)   not null,
    created_at    datetime(3)  not null,
    unique key operators_by_username (username),
    constraint operators_role check (role in ('viewer', 'operator', 'admin'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- Log-ins, by the SHA-256 of their secret: what is stored here opens nothing.
create table operator_sessions (
    token_hash  binary(32)  not null primary key,
    operator_id binary(16)  not null,
    -- web (a cookie, with a CSRF token) or bearer.
    kind        varchar(8)  not null,
    csrf        varchar(64) not null,
    created_at  datetime(3) not null,
    seen_at     datetime(3) not null,
    expires_at  datetime(3) not null,
    key operator_sessions_by_operator (operator_id),
    key operator_sessions_by_end (expires_at),
    constraint operator_sessions_kind check (kind in ('web', 'bearer'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- Every act in the admin and every denied one. Only ever inserted into.
create table audit_log (
    id       bigint        not null auto_increment primary key,
    at       datetime(3)   not null,
    -- Who: the name as it was then; empty before a log-in.
    operator varchar(64)   not null,
    role     varchar(16)   not null,
    act      varchar(64)   not null,
    -- What it was done to: an order id, an operator's name.
    subject  varchar(128)  not null,
    outcome  varchar(16)   not null,
    detail   varchar(1000) not null,
    address  varchar(64)   not null,
    key audit_log_by_subject (subject, id),
    constraint audit_log_outcome check (outcome in ('done', 'denied', 'refused', 'failed'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
