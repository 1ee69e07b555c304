-- A notice may say that somebody looks after its incident: receivers that call people until they know are told so.
alter table alert_outbox drop constraint alert_outbox_status;
alter table alert_outbox
    add constraint alert_outbox_status
        check (status in ('firing', 'changed', 'repeated', 'escalated', 'resolved', 'digest', 'test', 'acknowledged'));
