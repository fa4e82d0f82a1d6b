-- What happens to what runs when its key is revoked, switched off or expires: `cut`, `finish`.
ALTER TABLE settings ADD COLUMN on_revoke TEXT NOT NULL DEFAULT 'cut';
-- NULL: as the settings say.
ALTER TABLE virtual_keys ADD COLUMN on_revoke TEXT;
