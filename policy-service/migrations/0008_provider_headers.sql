-- What a provider adds to the lists of headers that pass, as JSON lists, and the headers that it sets by itself, as a
-- JSON object.
ALTER TABLE providers ADD COLUMN pass_request_headers TEXT NOT NULL DEFAULT '[]';
ALTER TABLE providers ADD COLUMN pass_response_headers TEXT NOT NULL DEFAULT '[]';
ALTER TABLE providers ADD COLUMN set_request_headers TEXT NOT NULL DEFAULT '{}';
