-- How long a connection to a provider is kept without a request; none means what is usual at its base URL.
ALTER TABLE providers ADD COLUMN idle_timeout_ms BIGINT;

-- Exchanges of one virtual key that run side by side in a worker of an Envoy.
ALTER TABLE settings ADD COLUMN max_running_per_key BIGINT NOT NULL DEFAULT 256;
