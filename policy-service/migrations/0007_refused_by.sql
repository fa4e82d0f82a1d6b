-- The quota that refused, by name; empty when none did.
ALTER TABLE exchanges ADD COLUMN refused_by TEXT NOT NULL DEFAULT '';
