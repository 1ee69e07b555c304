-- Lists of a million archived rows (crates/compensation/src/archive/walk.rs): every list of the operators is read along one of these
-- indexes, in its own order, and every count of one stops early.
alter table failed_order_archives
    -- 0: somebody has to do something; 1: a replay is under way; 2: nothing is left to do.
    add column standing tinyint
        generated always as (if(handled, 2, if(operation_id is null, 0, 1))) stored,
    drop key archives_by_handled,
    add key archives_by_standing (handled, standing, archived_at, id),
    drop key archives_by_fingerprint,
    drop key archives_by_open_fingerprint,
    add key archives_by_fingerprint (fingerprint, standing, archived_at, id),
    drop key archives_by_sale,
    add key archives_by_sale (sale_id, standing, archived_at, id),
    drop key archives_by_user,
    add key archives_by_user (user_id, standing, archived_at, id),
    add key archives_by_step (step, standing, archived_at, id),
    add key archives_by_gid (gid);
