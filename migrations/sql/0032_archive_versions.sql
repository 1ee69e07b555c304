-- What people made of an archived order's message. Version 0 is the message as it was when somebody first edited it: it stays, also when a
-- replay of another version fails, and the archive keeps that one's message.
create table archive_versions (
    archive_id binary(16)   not null,
    number     int          not null,
    -- The version it was made from; null of version 0.
    made_from  int          null,
    payload    mediumblob   not null,
    -- By whom, when and why; nobody of version 0.
    made_by    varchar(64)  null,
    made_at    datetime(3)  not null,
    reason     varchar(500) null,
    primary key (archive_id, number)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- The number of its newest version; 0: nobody has edited it.
alter table failed_order_archives
    add column version int not null default 0;

-- The version that is replayed; null: it was not edited, or nobody has begun it.
alter table operation_items
    add column version int null;
