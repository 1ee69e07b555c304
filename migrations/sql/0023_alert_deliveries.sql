-- A row of alert_outbox is a notice on one channel, from before it is sent until it is delivered or given up.
alter table alert_outbox
    add column incident_id binary(16)   null,
    -- Of the incident's notices, from 1; 0: of none.
    add column sequence    int unsigned not null default 0,
    add column status      varchar(16)  not null default 'firing',
    -- The digest that tells of it instead.
    add column digest_id   binary(16)   null,
    -- Who asked by hand for the next try; null: nobody.
    add column asked_by    varchar(64)  null,
    drop constraint alert_outbox_state,
    -- digested: the digest tells of it; superseded: a later notice of the incident says all of it.
    add constraint alert_outbox_state check (state in ('pending', 'delivered', 'undelivered', 'digested', 'superseded')),
    add constraint alert_outbox_status check (status in ('firing', 'changed', 'repeated', 'escalated', 'resolved', 'digest', 'test')),
    add key alert_outbox_by_incident (incident_id, channel, state, sequence),
    add key alert_outbox_by_digest (digest_id),
    add key alert_outbox_by_asked (asked_by, channel);

-- Each try of a delivery.
create table alert_attempts (
    id       bigint unsigned not null auto_increment primary key,
    alert_id binary(16)      not null,
    channel  varchar(64)     not null,
    at       datetime(3)     not null,
    took_ms  int unsigned    not null,
    outcome  varchar(16)     not null,
    error    varchar(500)    null,
    -- Who asked for it by hand; null: it was due.
    asked_by varchar(64)     null,
    key alert_attempts_by_delivery (alert_id, channel, id),
    key alert_attempts_by_time (at)
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- What all processes know of a channel: its bucket, and whether it rests. Whoever changes what waits on a channel locks its row first.
create table alert_channels (
    name         varchar(64)  not null primary key,
    tokens       double       not null,
    refilled_at  datetime(3)  not null,
    -- Tokens of a full bucket, and what comes back a minute: the receiver's rules as the last process knew them.
    burst        double       not null,
    per_minute   double       not null,
    failures     int unsigned not null default 0,
    rests_until  datetime(3)  null,
    -- 1: it takes something again, and what waited meanwhile is not looked at yet.
    returned     tinyint(1)   not null default 0,
    -- It said that it is gone for good; a person switches it on again.
    off_at       datetime(3)  null,
    off_why      varchar(500) null,
    last_error   varchar(500) null,
    delivered_at datetime(3)  null
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
