-- What clients and providers call an exchange.
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
