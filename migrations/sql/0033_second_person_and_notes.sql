-- A discard of many that a second operator has to confirm.
-- waiting (selected) -> unconfirmed -> waiting (its time to undo it begins anew) -> running; unconfirmed -> undone | expired.
alter table operations
    drop constraint operations_state,
    -- Above so many items somebody else than who asked has to confirm it; null: nobody has to. Who did, and when.
    add column confirm_above int         null,
    add column confirmed_by  varchar(64) null,
    add column confirmed_at  datetime(3) null,
    add constraint operations_state
        check (state in ('waiting', 'unconfirmed', 'running', 'paused', 'finished', 'cancelled', 'undone', 'expired'));

-- What people write down beside what is archived. Nobody changes one.
create table archive_notes (
    id         binary(16)    not null primary key,
    archive_id binary(16)    not null,
    written_by varchar(64)   not null,
    written_at datetime(3)   not null,
    text       varchar(2000) not null,
    key archive_notes_by_archive (archive_id, written_at)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
