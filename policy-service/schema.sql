CREATE TABLE admin_tokens (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL,
    revoked_ms BIGINT
);

CREATE UNIQUE INDEX admin_tokens_by_name ON admin_tokens (LOWER(name));

CREATE TABLE attempts (
    exchange_id BLOB NOT NULL REFERENCES exchanges (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    provider TEXT NOT NULL,
    provider_key_id BLOB,
    model TEXT NOT NULL,
    status BIGINT NOT NULL,
    started_ms BIGINT NOT NULL,
    headers_ms BIGINT,
    -- Whether anything is known to have been used.
    used BOOLEAN NOT NULL,
    input_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_5m_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    web_search_requests BIGINT NOT NULL,
    estimated BOOLEAN NOT NULL,
    price_table TEXT NOT NULL,
    cost_micro_usd BIGINT NOT NULL,
    -- How the price was found: `known`, `unknown`, `none` where nothing was used.
    price TEXT NOT NULL,
    price_book TEXT NOT NULL, key_refused BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (exchange_id, number)
);

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

CREATE TRIGGER audit_events_remain BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE (ABORT, 'audit events are append-only');
END;

CREATE TRIGGER audit_events_stay BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE (ABORT, 'audit events are append-only');
END;

CREATE TABLE customers (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    access TEXT,
    created_ms BIGINT NOT NULL
);

CREATE UNIQUE INDEX customers_by_name ON customers (LOWER(name));

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    at_ms BIGINT NOT NULL,
    -- As in `quota.threshold`.
    kind TEXT NOT NULL,
    -- Not a reference: an event outlives what it names.
    subject_id BLOB,
    -- JSON object.
    data TEXT NOT NULL,
    -- `none`, `pending`, `delivered`, `failed`
    delivery TEXT NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    -- When it is told (again); whoever moves it tells it.
    next_try_ms BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX events_to_deliver ON events (next_try_ms) WHERE delivery = 'pending';

CREATE TABLE exchanges (
    id BLOB PRIMARY KEY NOT NULL,
    started_ms BIGINT NOT NULL,
    surface TEXT NOT NULL,
    key_id BLOB,
    user_id BLOB,
    team_id BLOB,
    customer_id BLOB,
    client_app TEXT NOT NULL,
    session_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    device TEXT NOT NULL,
    environment TEXT NOT NULL,
    region TEXT NOT NULL,
    model_asked TEXT NOT NULL,
    model_used TEXT NOT NULL,
    provider TEXT NOT NULL,
    status BIGINT NOT NULL,
    request_bytes BIGINT NOT NULL,
    response_bytes BIGINT NOT NULL,
    latency_ms BIGINT NOT NULL,
    first_byte_ms BIGINT,
    ended TEXT NOT NULL,
    refusal_code TEXT NOT NULL,
    streamed BOOLEAN NOT NULL,
    unkeyed BOOLEAN NOT NULL,
    subscription BOOLEAN NOT NULL,
    path TEXT NOT NULL,
    -- Sums over the attempts.
    attempt_count BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_5m_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    web_search_requests BIGINT NOT NULL,
    cost_micro_usd BIGINT NOT NULL,
    -- Some attempt's model had no price of its own.
    unknown_price BOOLEAN NOT NULL,
    estimated BOOLEAN NOT NULL,
    price_book TEXT NOT NULL,
    -- The VM that runs or ran it; a running exchange is settled when its VM is gone.
    process_id BLOB NOT NULL,
    vm_id BLOB NOT NULL,
    recorded_ms BIGINT NOT NULL
, guard_verdict TEXT, refused_by TEXT NOT NULL DEFAULT '');

CREATE INDEX exchanges_by_customer ON exchanges (customer_id, started_ms);

CREATE INDEX exchanges_by_key ON exchanges (key_id, started_ms);

CREATE INDEX exchanges_by_start ON exchanges (started_ms, id);

CREATE INDEX exchanges_by_team ON exchanges (team_id, started_ms);

CREATE INDEX exchanges_by_user ON exchanges (user_id, started_ms);

CREATE INDEX exchanges_running ON exchanges (process_id, vm_id) WHERE ended = 'running';

CREATE TABLE guard_outcomes (
    exchange_id BLOB NOT NULL REFERENCES exchanges (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    -- Not a reference: a record outlives what it names.
    guardrail_id BLOB,
    guardrail TEXT NOT NULL,
    direction TEXT NOT NULL,
    verdict TEXT NOT NULL,
    texts BIGINT NOT NULL,
    -- JSON lists.
    findings TEXT NOT NULL,
    unscanned TEXT NOT NULL,
    PRIMARY KEY (exchange_id, number)
);

CREATE TABLE guardrails (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    rules TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE UNIQUE INDEX guardrails_by_name ON guardrails (LOWER(name));

CREATE TABLE price_overrides (
    price_table TEXT NOT NULL,
    model TEXT NOT NULL,
    rates TEXT NOT NULL,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (price_table, model)
);

CREATE TABLE provider_key_probes (
    key_id BLOB PRIMARY KEY NOT NULL REFERENCES provider_keys (id) ON DELETE CASCADE,
    -- What made it doubtful, and when.
    because_status BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    -- The last probe that was handed to an Envoy; 0 and empty before the first.
    sent_ms BIGINT NOT NULL DEFAULT 0,
    probe_id BLOB,
    -- Probes without a verdict, one after the other.
    unanswered BIGINT NOT NULL DEFAULT 0,
    -- Whether a verdict is still wanted; a key that is refused in fact is asked for again until it works.
    wanted BIGINT NOT NULL,
    alerted_ms BIGINT NOT NULL DEFAULT 0
);

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
, pass_request_headers TEXT NOT NULL DEFAULT '[]', pass_response_headers TEXT NOT NULL DEFAULT '[]', set_request_headers TEXT NOT NULL DEFAULT '{}', idle_timeout_ms BIGINT, on_no_answer TEXT NOT NULL DEFAULT 'again');

CREATE UNIQUE INDEX providers_by_name ON providers (LOWER(name));

CREATE TABLE quotas (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    customer_id BLOB REFERENCES customers (id),
    team_id BLOB REFERENCES teams (id),
    user_id BLOB REFERENCES users (id),
    key_id BLOB REFERENCES virtual_keys (id),
    -- Whether it is for some providers only, which it names.
    names_providers BOOLEAN NOT NULL,
    rules TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE INDEX quotas_by_customer ON quotas (customer_id) WHERE customer_id IS NOT NULL;

CREATE INDEX quotas_by_key ON quotas (key_id) WHERE key_id IS NOT NULL;

CREATE UNIQUE INDEX quotas_by_name ON quotas (LOWER(name));

CREATE INDEX quotas_by_team ON quotas (team_id) WHERE team_id IS NOT NULL;

CREATE INDEX quotas_by_user ON quotas (user_id) WHERE user_id IS NOT NULL;

CREATE INDEX quotas_of_everything ON quotas (id)
WHERE customer_id IS NULL AND team_id IS NULL AND user_id IS NULL AND key_id IS NULL;

CREATE INDEX quotas_that_name_providers ON quotas (id) WHERE names_providers;

CREATE TABLE request_ids (
    exchange_id BLOB NOT NULL REFERENCES exchanges (id) ON DELETE CASCADE,
    -- 0 for what the client called it, else the attempt that a provider called so.
    attempt BIGINT NOT NULL,
    -- In the form in which one is asked for.
    request_id TEXT NOT NULL,
    -- Of the exchange, so that those with one id are found in their order.
    started_ms BIGINT NOT NULL,
    PRIMARY KEY (exchange_id, attempt, request_id)
);

CREATE INDEX request_ids_by_id ON request_ids (request_id, started_ms, exchange_id, attempt);

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

CREATE TABLE rule_files (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE UNIQUE INDEX rule_files_by_name ON rule_files (LOWER(name));

CREATE TABLE settings (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    inference_auth TEXT NOT NULL,
    on_unknown_price TEXT NOT NULL,
    on_record_overflow TEXT NOT NULL,
    body_cap_bytes BIGINT NOT NULL,
    snapshot_max_age_ms BIGINT NOT NULL,
    hosts TEXT NOT NULL,
    max_attempts BIGINT NOT NULL
, vault_ttl_ms BIGINT NOT NULL DEFAULT 2592000000, alert_webhook_url TEXT, alert_webhook_sealed_secret BLOB, on_revoke TEXT NOT NULL DEFAULT 'cut', outbound_addresses TEXT NOT NULL DEFAULT 'ordinary', cors_origins TEXT NOT NULL DEFAULT '[]', max_running_per_key BIGINT NOT NULL DEFAULT 256);

CREATE TABLE stateful_ids (
    id TEXT NOT NULL,
    exchange_id BLOB NOT NULL REFERENCES exchanges (id) ON DELETE CASCADE,
    key_id BLOB,
    user_id BLOB,
    team_id BLOB,
    customer_id BLOB,
    PRIMARY KEY (id, exchange_id)
);

CREATE INDEX stateful_ids_by_exchange ON stateful_ids (exchange_id);

CREATE TABLE stateful_items (
    mark BLOB NOT NULL,
    exchange_id BLOB NOT NULL REFERENCES exchanges (id) ON DELETE CASCADE,
    PRIMARY KEY (mark, exchange_id)
);

CREATE INDEX stateful_items_by_exchange ON stateful_items (exchange_id);

CREATE TABLE store_state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Grows by one with every committed change of policy; what filters follow.
    policy_version BIGINT NOT NULL,
    -- Tells a wrong master key at start, before anything is sealed with it.
    master_key_check BLOB NOT NULL
);

CREATE TABLE teams (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    customer_id BLOB REFERENCES customers (id),
    access TEXT,
    created_ms BIGINT NOT NULL
);

CREATE INDEX teams_by_customer ON teams (customer_id);

CREATE UNIQUE INDEX teams_by_name ON teams (LOWER(name));

CREATE TABLE users (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    team_id BLOB REFERENCES teams (id),
    customer_id BLOB REFERENCES customers (id),
    access TEXT,
    created_ms BIGINT NOT NULL
);

CREATE INDEX users_by_customer ON users (customer_id);

CREATE UNIQUE INDEX users_by_name ON users (LOWER(name));

CREATE INDEX users_by_team ON users (team_id);

CREATE TABLE vault_entries (
    tenant BLOB NOT NULL,
    session TEXT NOT NULL,
    token TEXT NOT NULL,
    kind TEXT NOT NULL,
    sealed_value BLOB NOT NULL,
    created_ms BIGINT NOT NULL,
    last_used_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, session, token)
);

CREATE INDEX vault_entries_by_use ON vault_entries (last_used_ms);

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
    created_ms BIGINT NOT NULL, on_revoke TEXT,
    CHECK (
        (CASE WHEN user_id IS NULL THEN 0 ELSE 1 END)
        + (CASE WHEN team_id IS NULL THEN 0 ELSE 1 END)
        + (CASE WHEN customer_id IS NULL THEN 0 ELSE 1 END) = 1
    )
);

CREATE INDEX virtual_keys_by_customer ON virtual_keys (customer_id);

CREATE UNIQUE INDEX virtual_keys_by_name ON virtual_keys (LOWER(name));

CREATE INDEX virtual_keys_by_team ON virtual_keys (team_id);

CREATE INDEX virtual_keys_by_user ON virtual_keys (user_id);

CREATE TABLE word_lists (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    words TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE UNIQUE INDEX word_lists_by_name ON word_lists (LOWER(name));
