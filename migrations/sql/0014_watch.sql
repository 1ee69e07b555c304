-- Signs of life. A process that was killed leaves its row, so what is old is no longer there.
create table processes (
    name     varchar(32) not null,
    instance varchar(64) not null,
    -- When it last said that it runs, by this server's clock.
    seen_at  datetime(3) not null,
    -- What it counted since it started, as JSON: {"metric{labels}": number}.
    counted  mediumtext  not null,
    primary key (name, instance),
    key processes_by_time (seen_at)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- Figures that are beyond their bound, and that people were told of. The row goes once they are told that it is over.
create table troubles (
    figure   varchar(32)  not null primary key,
    -- Tells this time from others: the alerts' ids are made of it.
    occasion binary(16)   not null,
    said     varchar(200) not null,
    since    datetime(3)  not null
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
