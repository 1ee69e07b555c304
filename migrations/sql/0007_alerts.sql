-- One row an alert and channel, written with the change it tells of and before anything is sent.
create table alert_outbox (
    -- The same on every try and on every channel: receivers recognise a repeat by it.
    id           binary(16)    not null,
    -- A name of alerts.channels; empty where none is configured, and then never delivered.
    channel      varchar(64)   not null,
    kind         varchar(32)   not null,
    severity     varchar(16)   not null,
    -- What it is about: an order id, a topic, a server.
    subject      varchar(128)  not null,
    title        varchar(200)  not null,
    -- The alert as JSON.
    body         mediumtext    not null,
    -- pending: not delivered yet, and shown so; undelivered: given up.
    state        varchar(16)   not null,
    attempts     int           not null,
    due_at       datetime(3)   not null,
    claim        binary(16)    null,
    last_error   varchar(500)  null,
    created_at   datetime(3)   not null,
    delivered_at datetime(3)   null,
    primary key (id, channel),
    key alert_outbox_by_due (state, channel, due_at),
    key alert_outbox_by_subject (subject),
    key alert_outbox_by_time (created_at),
    constraint alert_outbox_severity check (severity in ('urgent', 'warning', 'info')),
    constraint alert_outbox_state check (state in ('pending', 'delivered', 'undelivered'))
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;
