-- What operators say of the failures with one cause: left alone, or put right; and who looks after them. A group without a row is open, and
-- so is one that was resolved and failed again since: its latest row says so, and nobody has to write it down.
create table group_marks (
    fingerprint bigint unsigned not null primary key,
    status      varchar(16)     not null,
    assignee    varchar(64)     null,
    reason      varchar(500)    not null,
    -- Of the last change, by this server's clock.
    changed_by  varchar(64)     not null,
    changed_at  datetime(3)     not null,
    -- Grows with each change: whoever saw another one changes nothing.
    version     int unsigned    not null,
    key group_marks_by_status (status),
    key group_marks_by_assignee (assignee),
    constraint group_marks_status check (status in ('open', 'ignored', 'resolved'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- How often all of a group was replayed is told by its operations.
alter table operations
    add column on_group varchar(16)
        generated always as (if(json_valid(filter), json_value(filter, '$.fingerprint'), null)) virtual,
    add key operations_by_group (on_group, kind, state);
