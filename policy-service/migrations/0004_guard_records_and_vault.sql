-- How strong the strongest of its guardrails was; NULL when none covered the exchange.
ALTER TABLE exchanges ADD COLUMN guard_verdict TEXT;

-- What each guardrail did in each direction of an exchange; never a value that was found.
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

-- Values that tokens stand for. `sealed_value` is encrypted under the master key and bound to its row.
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

-- How long a value is kept after its last use: 30 days.
ALTER TABLE settings ADD COLUMN vault_ttl_ms BIGINT NOT NULL DEFAULT 2592000000;
