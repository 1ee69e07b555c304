-- How old what is unfinished is, is told from the index alone, however much there is; recovery and retention go by it as before.
alter table transactions
    drop key transactions_by_due,
    add key transactions_by_due (state, due_at, created_at);
