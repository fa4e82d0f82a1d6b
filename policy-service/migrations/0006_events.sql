-- What happened by itself and somebody should know, and how far it has been told to the webhook.
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

-- Where events are posted, and what they are signed with, encrypted under the master key.
ALTER TABLE settings ADD COLUMN alert_webhook_url TEXT;
ALTER TABLE settings ADD COLUMN alert_webhook_sealed_secret BLOB;
