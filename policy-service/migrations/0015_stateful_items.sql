-- Items of responses that exchanges created. A mark is a keyed hash of the item's id and of its owner.
CREATE TABLE stateful_items (
    mark BLOB NOT NULL,
    exchange_id BLOB NOT NULL REFERENCES exchanges (id) ON DELETE CASCADE,
    PRIMARY KEY (mark, exchange_id)
);
CREATE INDEX stateful_items_by_exchange ON stateful_items (exchange_id);

-- What an exchange created is written anew when it has ended.
CREATE INDEX stateful_ids_by_exchange ON stateful_ids (exchange_id);
