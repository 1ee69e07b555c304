-- The file of tries is written from the table, so the table has all that a line has.
alter table compensation_logs add column next_after_ms bigint null after duration_ms;
