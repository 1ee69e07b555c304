-- What is raised (crates/compensation/src/alerts): one row an alert, written with the change it tells of. Alike alerts become an incident,
-- and an incident's notices go out, a row of alert_outbox a channel.
create table alerts (
    id          binary(16)   not null primary key,
    -- Alerts of one group and severity are one incident.
    group_key   varchar(160) not null,
    kind        varchar(32)  not null,
    severity    varchar(16)  not null,
    -- What it is about: an order id, a topic, a server.
    subject     varchar(128) not null,
    title       varchar(200) not null,
    -- The alert as JSON.
    body        mediumtext   not null,
    -- 1: what the group tells of is over.
    resolves    tinyint(1)   not null default 0,
    created_at  datetime(3)  not null,
    -- Null until it is counted in one.
    incident_id binary(16)   null,
    key alerts_by_incident (incident_id, created_at, id),
    key alerts_by_subject (subject, created_at),
    key alerts_by_time (created_at, id),
    constraint alerts_severity check (severity in ('urgent', 'warning', 'info'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

create table incidents (
    id               binary(16)   not null primary key,
    group_key        varchar(160) not null,
    kind             varchar(32)  not null,
    severity         varchar(16)  not null,
    -- Of the latest alert.
    title            varchar(200) not null,
    subject          varchar(128) not null,
    -- The first alert: the first notice has its id.
    opened_by        binary(16)   not null,
    latest_id        binary(16)   not null,
    alerts           int unsigned not null,
    first_at         datetime(3)  not null,
    last_at          datetime(3)  not null,
    state            varchar(16)  not null,
    -- How it ended, in words: "412 of 412 replayed".
    resolution       varchar(500) null,
    resolved_at      datetime(3)  null,
    -- The alert that said that it is over; null where nobody said so.
    ended_by         binary(16)   null,
    acknowledged_by  varchar(64)  null,
    acknowledged_at  datetime(3)  null,
    assigned_to      varchar(64)  null,
    silenced_until   datetime(3)  null,
    silenced_by      varchar(64)  null,
    silence_reason   varchar(500) null,
    -- Notices so far: the sequence of the last one.
    notices          int unsigned not null default 0,
    -- What each channel was told, and when, and the routes it was escalated to, as JSON (incidents/saying.rs).
    told             text         not null,
    -- When it is to be looked at next: something is to be said, or it may be over. Null: never.
    notify_at        datetime(3)  null,
    -- When the next route is told because nobody acknowledged.
    escalate_at      datetime(3)  null,
    -- One open incident a group and severity.
    open_group       varchar(160) generated always as (if(state = 'open', group_key, null)) stored,
    unique key incidents_open (open_group, severity),
    key incidents_by_notify (state, notify_at),
    key incidents_by_group (group_key, last_at),
    key incidents_by_state (state, last_at, id),
    key incidents_by_time (last_at, id),
    key incidents_by_resolved (resolved_at),
    constraint incidents_state check (state in ('open', 'resolved')),
    constraint incidents_severity check (severity in ('urgent', 'warning', 'info'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
