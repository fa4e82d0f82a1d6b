-- What becomes of a request whose connection to the provider ended before the first byte of an answer.
ALTER TABLE providers ADD COLUMN on_no_answer TEXT NOT NULL DEFAULT 'again';
