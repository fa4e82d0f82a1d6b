-- `rules` is everything but the name, as JSON. What a quota stands at is told once more by the one id that is not
-- null, so that it is found without reading the others; all are null where it stands at everything.
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
CREATE UNIQUE INDEX quotas_by_name ON quotas (LOWER(name));
CREATE INDEX quotas_by_customer ON quotas (customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX quotas_by_team ON quotas (team_id) WHERE team_id IS NOT NULL;
CREATE INDEX quotas_by_user ON quotas (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX quotas_by_key ON quotas (key_id) WHERE key_id IS NOT NULL;
CREATE INDEX quotas_of_everything ON quotas (id)
WHERE customer_id IS NULL AND team_id IS NULL AND user_id IS NULL AND key_id IS NULL;
CREATE INDEX quotas_that_name_providers ON quotas (id) WHERE names_providers;
