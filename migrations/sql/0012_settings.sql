-- What operators change while everything runs. Each change is a row of its own: the highest version of a name rules.
create table settings (
    name       varchar(64)  not null,
    version    int          not null,
    -- As JSON.
    value      mediumtext   not null,
    -- Who and why. Version 1 comes from the settings file.
    changed_by varchar(64)  not null,
    reason     varchar(500) not null,
    changed_at datetime(3)  not null,
    primary key (name, version)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- Work that came by itself goes before what operators replay: each of the two is claimed by an index of its own.
alter table compensations
    add column is_replay tinyint(1) generated always as (if(generation > 0, 1, 0)) virtual,
    add key compensations_by_turn (state, is_replay, due_at);
