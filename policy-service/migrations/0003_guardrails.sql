-- `rules` is everything but the name, as JSON.
CREATE TABLE guardrails (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    rules TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX guardrails_by_name ON guardrails (LOWER(name));

-- `source` is TOML as it was given.
CREATE TABLE rule_files (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX rule_files_by_name ON rule_files (LOWER(name));

-- `words` is a JSON list.
CREATE TABLE word_lists (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    words TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX word_lists_by_name ON word_lists (LOWER(name));
