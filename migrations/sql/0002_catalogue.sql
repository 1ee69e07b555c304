-- What is sold, and the flash sales it is sold in. Money is in minor units (cents), signed.
create table products (
    id          binary(16)    not null primary key,
    name        varchar(200)  not null,
    description varchar(4000) not null,
    price       bigint        not null,
    created_at  datetime(3)   not null,
    constraint products_price check (price >= 0)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

create table sales (
    id             binary(16)  not null primary key,
    -- The last four bytes of the id, carried by every order id of this sale: they find the sale of an order that has no row yet.
    tag            binary(4)   not null,
    product_id     binary(16)  not null,
    price          bigint      not null,
    total          int         not null,
    per_user_limit int         not null,
    starts_at      datetime(3) not null,
    ends_at        datetime(3) not null,
    state          varchar(16) not null,
    -- Raised by every change, so that a late copy to Redis never overwrites a newer one.
    revision       bigint      not null,
    created_at     datetime(3) not null,
    key sales_by_tag (tag),
    key sales_by_end (ends_at),
    constraint sales_product foreign key (product_id) references products (id),
    constraint sales_numbers check (price >= 0 and total >= 1 and per_user_limit >= 1),
    constraint sales_window check (starts_at < ends_at),
    constraint sales_state check (state in ('open', 'paused'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- One row a sale, the only thing every order of it contends for; locked last in a decision.
create table sale_inventory (
    sale_id   binary(16) not null primary key,
    total     int        not null,
    available int        not null,
    sold      int        not null,
    -- How often this sale's Redis state was rebuilt.
    epoch     bigint     not null,
    constraint sale_inventory_sale foreign key (sale_id) references sales (id),
    constraint sale_inventory_conserved check (total = available + sold),
    constraint sale_inventory_numbers check (available >= 0 and sold >= 0)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- Units a user holds of a sale. A row with 0 units is a buyer whose orders were all rejected or given back.
create table sale_buyers (
    sale_id       binary(16) not null,
    user_id       binary(16) not null,
    units         int        not null,
    last_order_id binary(16) null,
    primary key (sale_id, user_id),
    constraint sale_buyers_units check (units >= 0)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
