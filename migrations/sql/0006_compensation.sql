-- Work that failed and is tried again, one row a transaction; its payload and history live here until it is settled.
-- States: scheduled (retry lane) -> dead (dead-letter lane) -> archiving -> archived, or held (given up, its units kept);
-- closed: settled by a decision, whoever made it. All but archived and closed are open.
create table compensations (
    gid          binary(16)    not null primary key,
    kind         varchar(16)   not null,
    -- Whose work it is. All its generations share one history.
    order_id     binary(16)    not null,
    generation   int           not null,
    sale_id      binary(16)    not null,
    user_id      binary(16)    not null,
    state        varchar(16)   not null,
    -- Tries of this generation, the first one included.
    attempts     int           not null,
    -- When it is worked on next, by this server's clock; of claimed work, when the claim ends.
    due_at       datetime(3)   not null,
    claim        binary(16)    null,
    -- The message as it came, and its headers as JSON: [[name, base64], ...].
    payload      mediumblob    not null,
    headers      mediumtext    not null,
    -- Every attempt of every generation so far, as JSON.
    history      mediumtext    not null,
    last_error   varchar(1000) null,
    -- Whether compensation_dlq has it; null until it is dead.
    published_at datetime(3)   null,
    outcome      varchar(64)   null,
    created_at   datetime(3)   not null,
    closed_at    datetime(3)   null,
    unique key compensations_by_order (order_id, generation),
    key compensations_by_due (state, due_at),
    key compensations_by_sale (sale_id, state),
    constraint compensations_state check (state in ('scheduled', 'dead', 'archiving', 'held', 'closed', 'archived'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- One row an attempt, where compensation.log_storage is db or both.
create table compensation_logs (
    id          bigint        not null auto_increment primary key,
    gid         binary(16)    not null,
    order_id    binary(16)    not null,
    generation  int           not null,
    attempt     int           not null,
    lane        varchar(16)   not null,
    outcome     varchar(64)   not null,
    error       varchar(1000) null,
    started_at  datetime(3)   not null,
    duration_ms int           not null,
    worker      varchar(64)   not null,
    key compensation_logs_by_order (order_id, id),
    key compensation_logs_by_time (started_at)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- What was given up: failed orders, and messages on compensation_dlq that are no orders. An order has one row for ever, and one history.
create table failed_order_archives (
    -- Of an order its id; of another message an id made from where it lay.
    id              binary(16)    not null primary key,
    order_id        binary(16)    null,
    gid             binary(16)    null,
    generation      int           not null,
    sale_id         binary(16)    null,
    user_id         binary(16)    null,
    quantity        int           null,
    -- The step that failed and the last error.
    step            varchar(32)   not null,
    error           varchar(1000) not null,
    attempts        int           not null,
    history         mediumtext    not null,
    -- mysql: payload and headers are here; file: in the line at `location`.
    storage         varchar(16)   not null,
    location        varchar(500)  null,
    payload         mediumblob    null,
    headers         mediumtext    null,
    -- Whether its units are still held (dlq.hold_stock).
    held            tinyint(1)    not null,
    -- Whether nothing is left to do; how it ended.
    handled         tinyint(1)    not null,
    resolution      varchar(64)   null,
    -- The replay under way.
    operation_id    binary(16)    null,
    times_archived  int           not null,
    first_failed_at datetime(3)   not null,
    archived_at     datetime(3)   not null,
    handled_at      datetime(3)   null,
    key archives_by_time (archived_at, id),
    key archives_by_handled (handled, archived_at, id),
    key archives_by_sale (sale_id, archived_at),
    key archives_by_user (user_id)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- Acts of operators that the compensator carries out; an item each for what they are done to.
create table operations (
    id          binary(16)   not null primary key,
    kind        varchar(16)  not null,
    asked_by    varchar(64)  not null,
    reason      varchar(500) null,
    state       varchar(16)  not null,
    created_at  datetime(3)  not null,
    finished_at datetime(3)  null,
    key operations_by_time (created_at),
    constraint operations_kind check (kind in ('replay')),
    constraint operations_state check (state in ('running', 'finished'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

create table operation_items (
    operation_id binary(16)   not null,
    archive_id   binary(16)   not null,
    -- The transaction of the new generation, chosen before anything else is done, so that a repeat repeats the same one.
    gid          binary(16)   not null,
    generation   int          not null,
    -- requested -> processing -> confirmed | rejected | archived; requested -> refused.
    state        varchar(16)  not null,
    reason       varchar(200) null,
    due_at       datetime(3)  not null,
    claim        binary(16)   null,
    created_at   datetime(3)  not null,
    finished_at  datetime(3)  null,
    primary key (operation_id, archive_id),
    key operation_items_by_gid (gid),
    key operation_items_by_archive (archive_id, created_at),
    key operation_items_by_due (state, due_at),
    constraint operation_items_state check (state in ('requested', 'processing', 'confirmed', 'rejected', 'archived', 'refused'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
