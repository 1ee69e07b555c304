-- What was handled goes after its time, by where its message is; and what a place has is asked for by that place.
alter table failed_order_archives
    add key archives_by_end (storage, handled_at),
    add key archives_by_place (location);
