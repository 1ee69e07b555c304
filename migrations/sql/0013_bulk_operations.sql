-- Operations on all that a filter matches. Of a single replay `filter` is null, and none of these columns says anything.
-- States: waiting (may be undone) -> running <-> paused -> finished | cancelled; waiting -> undone.
alter table operations
    drop constraint operations_kind,
    drop constraint operations_state,
    -- Which rows of the archive, as JSON; and how: items a second, whether step by step, and the share of failures it stops at.
    add column filter        varchar(2000) null,
    add column rate          int           null,
    add column canary        tinyint(1)    not null default 0,
    add column stop_percent  int           null,
    -- Until then it can be undone, and nothing is done.
    add column starts_at     datetime(3)   null,
    -- What was archived later is left out; and how far the rows before it are written into operation_items.
    add column watermark     datetime(3)   null,
    add column cursor_at     datetime(3)   null,
    add column cursor_id     binary(16)    null,
    add column selected_all  tinyint(1)    not null default 0,
    -- Its items, by how they ended.
    add column selected      int           not null default 0,
    add column begun         int           not null default 0,
    add column confirmed     int           not null default 0,
    add column rejected      int           not null default 0,
    add column archived      int           not null default 0,
    add column refused       int           not null default 0,
    add column discarded     int           not null default 0,
    -- The rung of the ladder it stands on, and what became of the items that are judged together.
    add column rung          tinyint       not null default 0,
    add column window_begun  int           not null default 0,
    add column window_ended  int           not null default 0,
    add column window_failed int           not null default 0,
    -- Up to when its rate is used up.
    add column paced_at      datetime(6)   null,
    -- When it is looked at next; null where nothing goes on by itself.
    add column due_at        datetime(3)   null,
    -- The last act on it, by whom (null: by itself), when and why.
    add column act           varchar(16)   null,
    add column act_by        varchar(64)   null,
    add column act_at        datetime(3)   null,
    add column act_reason    varchar(200)  null,
    add key operations_by_due (due_at),
    add key operations_by_state (state, created_at),
    add constraint operations_kind check (kind in ('replay', 'discard')),
    add constraint operations_state check (state in ('waiting', 'running', 'paused', 'finished', 'cancelled', 'undone'));

-- Items of such an operation are selected first: nothing is claimed, and the gid is chosen but unused.
-- selected -> requested -> processing -> confirmed | rejected | archived; selected | requested -> refused; requested -> discarded.
alter table operation_items
    drop constraint operation_items_state,
    -- Ended, and not in its operation's counts yet: 1; in them: 0.
    add column uncounted tinyint(1) null,
    add key operation_items_by_state (operation_id, state, archive_id),
    add key operation_items_uncounted (operation_id, uncounted, archive_id),
    add constraint operation_items_state
        check (state in ('selected', 'requested', 'processing', 'confirmed', 'rejected', 'archived', 'refused', 'discarded'));
