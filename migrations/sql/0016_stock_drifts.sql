-- Sales of which Redis said something else than MySQL though nothing was on its way: what each said, and when they agreed again.
create table stock_drifts (
    id              binary(16)  not null primary key,
    sale_id         binary(16)  not null,
    -- The sale while they differ, then null: a sale has one such row at a time.
    open_sale       binary(16)  null,
    units           bigint      not null,
    redis_available bigint      not null,
    redis_held      bigint      not null,
    redis_sold      bigint      not null,
    redis_owed      bigint      not null,
    mysql_available bigint      not null,
    mysql_sold      bigint      not null,
    -- Whether Redis was made anew from MySQL for it, or left to an operator.
    fenced          tinyint(1)  not null,
    found_at        datetime(3) not null,
    over_at         datetime(3) null,
    unique key stock_drifts_open (open_sale),
    key stock_drifts_by_sale (sale_id, found_at),
    key stock_drifts_by_time (found_at)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
