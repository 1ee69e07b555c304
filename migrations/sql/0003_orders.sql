-- Orders that were decided. No foreign keys: this is the hot path, and the decision has checked the sale.
create table orders (
    id              binary(16)   not null primary key,
    -- The transaction that counts, and which replay of the order it was (0: the buyer's own request).
    gid             binary(16)   not null,
    generation      int          not null,
    user_id         binary(16)   not null,
    sale_id         binary(16)   not null,
    quantity        int          not null,
    price           bigint       not null,
    status          varchar(16)  not null,
    reason          varchar(64)  null,
    remark          varchar(500) null,
    idempotency_key varchar(128) null,
    body_hash       varchar(64)  null,
    created_at      datetime(3)  not null,
    decided_at      datetime(3)  not null,
    key orders_by_user (user_id),
    key orders_by_sale (sale_id),
    constraint orders_quantity check (quantity between 1 and 100),
    constraint orders_generation check (generation >= 0),
    constraint orders_status check (status in ('confirmed', 'paid', 'shipped', 'delivered', 'cancelled', 'refunded', 'rejected', 'failed'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
