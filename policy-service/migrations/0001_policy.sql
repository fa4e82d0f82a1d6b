-- One row: what the store knows about itself.
CREATE TABLE store_state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Grows by one with every committed change of policy; what filters follow.
    policy_version BIGINT NOT NULL,
    -- Tells a wrong master key at start, before anything is sealed with it.
    master_key_check BLOB NOT NULL
);

-- One row: mesh-wide settings.
CREATE TABLE settings (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    inference_auth TEXT NOT NULL,
    on_unknown_price TEXT NOT NULL,
    on_record_overflow TEXT NOT NULL,
    body_cap_bytes BIGINT NOT NULL,
    snapshot_max_age_ms BIGINT NOT NULL,
    hosts TEXT NOT NULL,
    max_attempts BIGINT NOT NULL
);

CREATE TABLE customers (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    access TEXT,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX customers_by_name ON customers (LOWER(name));

CREATE TABLE teams (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    customer_id BLOB REFERENCES customers (id),
    access TEXT,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX teams_by_name ON teams (LOWER(name));
CREATE INDEX teams_by_customer ON teams (customer_id);

CREATE TABLE users (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    team_id BLOB REFERENCES teams (id),
    customer_id BLOB REFERENCES customers (id),
    access TEXT,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_by_name ON users (LOWER(name));
CREATE INDEX users_by_team ON users (team_id);
CREATE INDEX users_by_customer ON users (customer_id);

-- The secret itself is stored nowhere; `hash` is the SHA-256 of its whole text.
CREATE TABLE virtual_keys (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    user_id BLOB REFERENCES users (id),
    team_id BLOB REFERENCES teams (id),
    customer_id BLOB REFERENCES customers (id),
    environment TEXT NOT NULL,
    state TEXT NOT NULL,
    expires_at_ms BIGINT,
    access TEXT NOT NULL,
    subscription TEXT NOT NULL,
    opaque_paths TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    CHECK (
        (CASE WHEN user_id IS NULL THEN 0 ELSE 1 END)
        + (CASE WHEN team_id IS NULL THEN 0 ELSE 1 END)
        + (CASE WHEN customer_id IS NULL THEN 0 ELSE 1 END) = 1
    )
);
CREATE UNIQUE INDEX virtual_keys_by_name ON virtual_keys (LOWER(name));
CREATE INDEX virtual_keys_by_user ON virtual_keys (user_id);
CREATE INDEX virtual_keys_by_team ON virtual_keys (team_id);
CREATE INDEX virtual_keys_by_customer ON virtual_keys (customer_id);

CREATE TABLE providers (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    dialect TEXT NOT NULL,
    tls TEXT NOT NULL,
    host TEXT NOT NULL,
    port BIGINT NOT NULL,
    path TEXT NOT NULL,
    auth TEXT NOT NULL,
    path_style TEXT NOT NULL,
    hosts TEXT NOT NULL,
    models TEXT NOT NULL,
    listed_models TEXT NOT NULL,
    stream_usage TEXT NOT NULL,
    price_table TEXT NOT NULL,
    stream_header_timeout_ms BIGINT NOT NULL,
    whole_header_timeout_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX providers_by_name ON providers (LOWER(name));

-- `sealed_secret` is encrypted under the master key and bound to the row's id.
CREATE TABLE provider_keys (
    id BLOB PRIMARY KEY NOT NULL,
    provider_id BLOB NOT NULL REFERENCES providers (id),
    name TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    weight BIGINT NOT NULL,
    state TEXT NOT NULL,
    -- The status that made it bad; empty otherwise.
    bad_status BIGINT,
    -- A refusal older than this is no news.
    state_changed_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX provider_keys_by_name ON provider_keys (provider_id, LOWER(name));

CREATE TABLE routes (
    id BLOB PRIMARY KEY NOT NULL,
    -- `global`, or `team:<id>` and so on.
    scope TEXT NOT NULL,
    customer_id BLOB REFERENCES customers (id),
    team_id BLOB REFERENCES teams (id),
    user_id BLOB REFERENCES users (id),
    key_id BLOB REFERENCES virtual_keys (id),
    alias TEXT NOT NULL,
    targets TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX routes_by_scope ON routes (scope, alias);

CREATE TABLE price_overrides (
    price_table TEXT NOT NULL,
    model TEXT NOT NULL,
    rates TEXT NOT NULL,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (price_table, model)
);

CREATE TABLE admin_tokens (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL,
    revoked_ms BIGINT
);
CREATE UNIQUE INDEX admin_tokens_by_name ON admin_tokens (LOWER(name));

-- Append-only. `before` and `after` are summaries without secrets.
CREATE TABLE audit_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    at_ms BIGINT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id BLOB,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    object_name TEXT NOT NULL,
    before TEXT,
    after TEXT,
    request_id TEXT
);
CREATE TRIGGER audit_events_stay BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE (ABORT, 'audit events are append-only');
END;
CREATE TRIGGER audit_events_remain BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE (ABORT, 'audit events are append-only');
END;
