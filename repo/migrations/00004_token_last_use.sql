-- When a token was last used, to the minute: whoever cleans up wants to know which of them nobody uses.

-- +goose Up
ALTER TABLE api_tokens ADD COLUMN last_used_at timestamptz;
