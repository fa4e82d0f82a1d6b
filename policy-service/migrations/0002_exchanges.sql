-- Ids here are not references: a record outlives what it names.
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
);
CREATE INDEX exchanges_by_start ON exchanges (started_ms, id);
CREATE INDEX exchanges_by_key ON exchanges (key_id, started_ms);
CREATE INDEX exchanges_by_user ON exchanges (user_id, started_ms);
CREATE INDEX exchanges_by_team ON exchanges (team_id, started_ms);
CREATE INDEX exchanges_by_customer ON exchanges (customer_id, started_ms);
CREATE INDEX exchanges_running ON exchanges (process_id, vm_id) WHERE ended = 'running';

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
    price_book TEXT NOT NULL,
    PRIMARY KEY (exchange_id, number)
);

-- Provider-side ids that exchanges created, and for whom.
CREATE TABLE stateful_ids (
    id TEXT NOT NULL,
    exchange_id BLOB NOT NULL REFERENCES exchanges (id) ON DELETE CASCADE,
    key_id BLOB,
    user_id BLOB,
    team_id BLOB,
    customer_id BLOB,
    PRIMARY KEY (id, exchange_id)
);
