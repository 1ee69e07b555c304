-- People who log in: buyers, and staff who make sales.
create table users (
    id            binary(16)   not null primary key,
    username      varchar(64)  character set utf8mb4 collate utf8mb4_unicode_ci not null,
    email         varchar(254) character set utf8mb4 collate utf8mb4_unicode_ci not null,
    password_hash varchar(255) not null,
    role          varchar(16)  not null,
    created_at    datetime(3)  not null,
    unique key users_by_username (username),
    unique key users_by_email (email),
    constraint users_role check (role in ('buyer', 'staff'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
