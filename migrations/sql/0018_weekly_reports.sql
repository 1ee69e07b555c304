-- Orders nobody paid for in time are found by this: confirmed ones, the oldest first.
alter table orders add key orders_by_status (status, decided_at);

-- A week of compensation in figures: one row a week, and its alert in the same transaction.
create table weekly_reports (
    -- The ISO week, 2026-W47: from Monday 00:00 UTC to the next.
    week      varchar(8)  not null primary key,
    starts_at datetime(3) not null,
    -- By this server's clock; figures of what is open are of that moment.
    made_at   datetime(3) not null,
    -- Null where the table of tries is not kept.
    tries     bigint      null,
    settled   bigint      null,
    archived  bigint      not null,
    -- All figures, as JSON.
    data      mediumtext  not null
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- What a week is counted from, read from indexes alone.
alter table compensation_logs
    drop key compensation_logs_by_time,
    add key compensation_logs_by_time (started_at, lane, outcome);
alter table compensations add key compensations_by_closed (closed_at, state, generation, outcome, created_at);
alter table failed_order_archives add key archives_by_handled_at (handled_at, resolution, first_failed_at);
alter table alert_outbox add key alert_outbox_by_week (created_at, state);
