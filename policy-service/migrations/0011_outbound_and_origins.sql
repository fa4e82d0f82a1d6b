-- Which addresses providers and the webhook may have, and which web pages may ask the mesh.
ALTER TABLE settings ADD COLUMN outbound_addresses TEXT NOT NULL DEFAULT 'ordinary';
ALTER TABLE settings ADD COLUMN cors_origins TEXT NOT NULL DEFAULT '[]';
