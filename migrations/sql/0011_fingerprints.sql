-- Failures with the same cause are a group (crates/compensation/src/fingerprint). A row says itself whether it is counted in its
-- group: whoever changes it, by hand too, makes it uncounted in the same transaction, and waits for no row of a group's.
alter table failed_order_archives
    -- The kind of error as its message's headers name it.
    add column error_class         varchar(200)      null,
    -- Null and version 0: not worked out yet. The compensator does so, a batch at a time.
    add column fingerprint         bigint unsigned   null,
    add column fingerprint_version smallint unsigned not null default 0,
    -- What the groups know of it: in which it is counted, as handled or not, and since when.
    add column counted_in          bigint unsigned   null,
    add column counted_handled     tinyint(1)        null,
    add column counted_at          datetime(3)       null,
    -- 1 where that is not how it is.
    add column uncounted           tinyint
        generated always as (if(fingerprint is null
            or (counted_in <=> fingerprint and counted_handled <=> handled and counted_at <=> archived_at), null, 1)) stored,
    -- The key a message came with, and whether it came without a value: then payload is empty.
    add column message_key         mediumblob        null,
    add column tombstone           tinyint(1)        not null default 0,
    add key archives_by_fingerprint (fingerprint, archived_at, id),
    -- With all that counting by state reads.
    add key archives_by_open_fingerprint (fingerprint, handled, archived_at, id, operation_id),
    drop key archives_by_handled,
    add key archives_by_handled (handled, archived_at, id, operation_id),
    add key archives_by_fingerprint_version (fingerprint_version),
    add key archives_by_uncounted (uncounted, fingerprint_version);

-- Counts of the rows above, one row a fingerprint. Brought up to date by the compensator, from the rows that are uncounted.
create table failure_groups (
    fingerprint   bigint unsigned   not null primary key,
    version       smallint unsigned not null,
    step          varchar(32)       not null,
    error_code    varchar(120)      null,
    pattern       varchar(300)      not null,
    -- Rows that are not handled, and all of them.
    open_rows     bigint            not null,
    all_rows      bigint            not null,
    first_seen_at datetime(3)       not null,
    last_seen_at  datetime(3)       not null,
    -- The row that came last.
    example_id    binary(16)        not null,
    key groups_by_open (open_rows, fingerprint),
    key groups_by_last_seen (last_seen_at, fingerprint)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
