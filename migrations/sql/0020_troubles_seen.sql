-- When a watcher last saw the figure beyond its bound, by this server's clock: of several, none ends what another still sees.
alter table troubles add column seen_at datetime(3) null;
