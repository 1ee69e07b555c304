-- Participants outside this system are written down before they are asked: their transaction is begun, then prepared, then decided.
alter table transactions
    -- How many participants outside it has.
    add column branches tinyint unsigned not null default 0,
    -- The work itself, as JSON: of those with branches, so that whoever finds it undecided can go on with it.
    add column work text null,
    -- Of a stuck one: whether it has its dead letter; and whether an operator stopped it, so that it does not go on by itself.
    add column handed_over tinyint(1) not null default 0,
    add column stopped tinyint(1) not null default 0;

-- Whether an operator gave work up: then its units are given back also where archived orders keep theirs.
alter table compensations add column given_up tinyint(1) not null default 0;

-- What is known of a participant's part: of every one outside, and of any other once it failed.
-- States: asking -> promised | refused | unknown (asked again); owed (decided, and not answered); done.
create table transaction_branches (
    gid         binary(16)   not null,
    participant varchar(64)  not null,
    is_foreign  tinyint(1)   not null,
    state       varchar(16)  not null,
    -- Calls so far, and the latest of them, oldest first: a line each, JSON.
    attempts    int          not null,
    history     text         not null,
    last_error  varchar(500) null,
    -- Whether its transaction waits for this participant: 0 no; 1 until it may be called; 2 for its next try, or until it comes back.
    waits       tinyint      not null default 0,
    created_at  datetime(3)  not null,
    changed_at  datetime(3)  not null,
    primary key (gid, participant),
    key branches_by_waiting (participant, waits, gid),
    constraint branches_state check (state in ('asking', 'promised', 'refused', 'unknown', 'owed', 'done'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
