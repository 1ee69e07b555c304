-- Every line has its place in the chain: what was written before there was one is its beginning, and a build that knows no chain can
-- write no more.
--
-- The form is that of crates/audit/src/chain.rs; the lines' operation is nothing, for they are older than its column. Assignments of an
-- update go from left to right, so `prev` is the hash of the row before.
set @last_id = 0, @prev = repeat(char(0), 32), @at = '1970-01-01 00:00:00';

update audit_log
set prev = @prev,
    hash = (@prev := unhex(sha2(concat(
        '15:redress-audit-1,64:', lower(hex(@prev)), ',',
        length(id), ':', id, ',',
        '24:', left(date_format(at, '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z,',
        length(operator), ':', operator, ',',
        length(role), ':', role, ',',
        length(act), ':', act, ',',
        length(subject), ':', subject, ',',
        length(outcome), ':', outcome, ',',
        length(detail), ':', detail, ',',
        length(address), ':', address, ',',
        '0:,'), 256))),
    at = (@at := at),
    id = (@last_id := id)
where exists (select 1 from audit_head where last_id = 0)
order by id;

update audit_head set last_id = @last_id, hash = @prev, at = @at where last_id = 0;

-- A line that an older build wrote beside a newer one is outside the chain, and stays so: the check names it.
update audit_log set prev = repeat(char(0), 32), hash = repeat(char(0), 32) where hash is null;

alter table audit_log
    modify column prev binary(32) not null,
    modify column hash binary(32) not null;
