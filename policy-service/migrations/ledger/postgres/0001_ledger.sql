-- What was used of every account, by window; a rolling window has sixty parts and one more.
-- Part 0 holds what is leased outside of calendar windows.
CREATE TABLE quota_buckets (
    account BYTEA NOT NULL,
    start_ms BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    held BIGINT NOT NULL,
    debt BIGINT NOT NULL,
    -- The largest alert threshold, in percent, that was told.
    alerted BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (account, start_ms)
);
CREATE INDEX quota_buckets_by_end ON quota_buckets (until_ms);

CREATE TABLE quota_resets (
    account BYTEA PRIMARY KEY NOT NULL,
    reset_ms BIGINT NOT NULL
);

-- Leases: what holders may admit on. Sums of the slices in `parts` are what buckets hold.
CREATE TABLE quota_leases (
    id BYTEA PRIMARY KEY NOT NULL,
    holder BYTEA NOT NULL,
    exchange_id BYTEA NOT NULL,
    granted_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    parts BYTEA NOT NULL
);
CREATE INDEX quota_leases_by_expiry ON quota_leases (expires_ms);
CREATE INDEX quota_leases_by_holder ON quota_leases (holder);

-- What attempts were charged, so that nothing is charged twice and all of it can be corrected.
CREATE TABLE quota_settlements (
    exchange_id BYTEA NOT NULL,
    attempt BIGINT NOT NULL,
    -- 0 presumed, 1 estimated, 2 exact.
    sureness BIGINT NOT NULL,
    settled_ms BIGINT NOT NULL,
    charges BYTEA NOT NULL,
    PRIMARY KEY (exchange_id, attempt)
);
CREATE INDEX quota_settlements_by_time ON quota_settlements (settled_ms);

-- What runs, by its last report.
CREATE TABLE quota_running (
    exchange_id BYTEA NOT NULL,
    attempt BIGINT NOT NULL,
    holder BYTEA NOT NULL,
    admitted_ms BIGINT NOT NULL,
    reported_ms BIGINT NOT NULL,
    holds BYTEA NOT NULL,
    PRIMARY KEY (exchange_id, attempt)
);
CREATE INDEX quota_running_by_holder ON quota_running (holder);
