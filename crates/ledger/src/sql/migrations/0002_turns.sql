-- What a model's turn cost.
ALTER TABLE audit ADD COLUMN model TEXT;
ALTER TABLE audit ADD COLUMN tokens_in BIGINT;
ALTER TABLE audit ADD COLUMN tokens_cached BIGINT;
ALTER TABLE audit ADD COLUMN tokens_out BIGINT;
ALTER TABLE audit ADD COLUMN first_token_ms BIGINT;
