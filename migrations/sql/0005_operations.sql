-- One holder a name until expires_at, by this server's clock. A holder that sleeps past it has lost it.
create table leases (
    name       varchar(128) not null primary key,
    holder     varchar(64)  not null,
    expires_at datetime(3)  not null
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- The stock nodes as they were when their scripts were last loaded: other ids mean a restart or a promotion.
create table redis_nodes (
    node           varchar(255) not null primary key,
    run_id         varchar(64)  not null,
    replication_id varchar(64)  not null,
    loaded_at      datetime(3)  not null
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- One row: the number of the newest rebuild. A higher number always wins over a lower one in Redis.
create table rebuild_numbers (
    id     tinyint not null primary key,
    number bigint  not null
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

insert into rebuild_numbers (id, number) values (1, 0);
