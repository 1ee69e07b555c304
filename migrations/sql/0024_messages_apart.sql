-- What never changes of work that failed, written once (crates/compensation/src/queue/messages.rs). Beside due times and claims it was
-- written again with each of them: in the binary log twice a change, the row before and the row after. Ids are of the moment a message
-- is written, so that rows are appended: by their transactions, which come partition by partition, they would lie in between.
create table if not exists compensation_messages (
    id      binary(16) not null primary key,
    -- The message as it came, and its headers as JSON: [[name, base64], ...].
    payload mediumblob not null,
    headers mediumtext not null
) engine = innodb default charset = utf8mb4 collate = utf8mb4_bin;

-- A compensator of an older build may still take work in: it waits, and what it writes then is refused as a whole, and taken in again.
lock tables compensations write, compensation_messages write;
-- Of what is there the transaction's id will do. Again, it adds what is missing.
insert ignore into compensation_messages (id, payload, headers) select gid, payload, headers from compensations order by gid;
-- Nobody's claim is as long as anybody's: a row that keeps its length is changed where it lies, and the redo log has the change, not the
-- row. What an older build has in hand comes back when its time is over, as after a crash.
alter table compensations
    drop column claim,
    add column claim binary(16) not null default x'00000000000000000000000000000000' after due_at,
    add column is_claimed tinyint(1) generated always as (claim <> x'00000000000000000000000000000000') virtual after claim,
    add column message_id binary(16) not null default (gid) after is_claimed,
    drop column payload,
    drop column headers;
alter table compensations alter column message_id drop default;
unlock tables;
