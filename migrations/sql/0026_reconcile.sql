-- Reconciles: of one order each, claimed like a single replay. What was done is in the item's reason, as codes.
alter table operations
    drop constraint operations_kind,
    add constraint operations_kind check (kind in ('replay', 'discard') or (kind = 'reconcile' and filter is null));

alter table operation_items
    drop constraint operation_items_state,
    -- When its worker first looked at it: it waits so long for what is to come right by itself, and no longer.
    add column begun_at datetime(3) null,
    add constraint operation_items_state
        check (state in ('selected', 'requested', 'processing', 'confirmed', 'rejected', 'archived', 'refused', 'discarded', 'reconciled'));
