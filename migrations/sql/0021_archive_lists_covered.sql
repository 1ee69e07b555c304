-- What `standing` is made of, in every index that has it. MariaDB marks the columns a generated one is made of as read whenever a
-- prepared statement runs again; an index without them covers nothing then, and each entry that is counted costs a look at its row
-- (measured with 10.11: 10,000 entries are 30,065 pages instead of 41). A sale's rows are mostly asked for by step.
alter table failed_order_archives
    drop key archives_by_standing,
    add key archives_by_standing (handled, standing, archived_at, id, operation_id),
    drop key archives_by_fingerprint,
    add key archives_by_fingerprint (fingerprint, standing, archived_at, id, handled, operation_id),
    drop key archives_by_sale,
    add key archives_by_sale (sale_id, standing, archived_at, id, handled, operation_id, step),
    drop key archives_by_user,
    add key archives_by_user (user_id, standing, archived_at, id, handled, operation_id),
    drop key archives_by_step,
    add key archives_by_step (step, standing, archived_at, id, handled, operation_id);
