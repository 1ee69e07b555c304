alter table alert_outbox
    -- What alike notices share (group and severity), whichever incident they are of: receivers open and close by it, so its incidents
    -- are told of one after another. Null: of a digest, a test, and what was written before this column.
    add column thread binary(16) null;

-- A try that is written down once more, because MySQL's answer was lost, is the same try.
alter table alert_attempts
    add column claim binary(16) null,
    add unique key alert_attempts_by_claim (alert_id, channel, claim);

alter table incidents
    -- Who closed it by hand; null where it ended by itself or by an alert.
    add column closed_by varchar(64) null;
