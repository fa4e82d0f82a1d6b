-- Provider keys that a provider refused, until a probe has told whether they work.
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
-- Whether the provider refused the key with which it was asked.
ALTER TABLE attempts ADD COLUMN key_refused BOOLEAN NOT NULL DEFAULT FALSE;
