-- Stores, their tokens, customers and identities.
--
-- Every table of a store's data has store_id first in its keys and indexes: that is the tenant wall, and it lets the
-- tables be distributed by store. IDs are UUIDv7 made by Akin and created_at is the instant in them, so the primary
-- key is also the order of creation. Text that is compared or sorted is in the collation "C": byte order, the same on
-- every version of every system.

-- +goose Up
CREATE TABLE stores (
    id         uuid PRIMARY KEY,
    name       text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT stores_name_key UNIQUE (name),
    CONSTRAINT stores_name_check CHECK (char_length(name) BETWEEN 1 AND 64)
);

-- The hash alone is unique, without its store, because it is what tells the store.
CREATE TABLE api_tokens (
    store_id   uuid NOT NULL REFERENCES stores,
    id         uuid NOT NULL,
    name       text COLLATE "C" NOT NULL,
    hash       bytea NOT NULL,
    scope      text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (store_id, id),
    CONSTRAINT api_tokens_name_key UNIQUE (store_id, name),
    CONSTRAINT api_tokens_hash_key UNIQUE (hash),
    CONSTRAINT api_tokens_hash_check CHECK (octet_length(hash) = 32),
    CONSTRAINT api_tokens_scope_check CHECK (scope IN ('read', 'write'))
);

CREATE TABLE customers (
    store_id         uuid NOT NULL REFERENCES stores,
    id               uuid NOT NULL,
    email            text NOT NULL,
    email_normalized text COLLATE "C" NOT NULL,
    first_name       text,
    last_name        text COLLATE "C",
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (store_id, id),
    CONSTRAINT customers_email_key UNIQUE (store_id, email_normalized),
    CONSTRAINT customers_text_check CHECK (
        char_length(email) <= 254 AND char_length(email_normalized) BETWEEN 3 AND 254
        AND char_length(first_name) BETWEEN 1 AND 255 AND char_length(last_name) BETWEEN 1 AND 255)
);
CREATE INDEX customers_updated_idx ON customers (store_id, updated_at, id);
CREATE INDEX customers_last_name_idx ON customers (store_id, coalesce(last_name, ''), id);

CREATE TABLE customer_identities (
    store_id             uuid NOT NULL,
    id                   uuid NOT NULL,
    customer_id          uuid NOT NULL,
    platform             text COLLATE "C" NOT NULL,
    platform_customer_id text COLLATE "C" NOT NULL,
    email                text NOT NULL,
    email_normalized     text COLLATE "C" NOT NULL,
    first_name           text,
    last_name            text,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    PRIMARY KEY (store_id, id),
    CONSTRAINT customer_identities_platform_key UNIQUE (store_id, platform, platform_customer_id),
    CONSTRAINT customer_identities_customer_fkey FOREIGN KEY (store_id, customer_id) REFERENCES customers,
    CONSTRAINT customer_identities_platform_check CHECK (platform ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
    CONSTRAINT customer_identities_text_check CHECK (
        char_length(platform_customer_id) BETWEEN 1 AND 255
        AND char_length(email) <= 254 AND char_length(email_normalized) BETWEEN 3 AND 254
        AND char_length(first_name) BETWEEN 1 AND 255 AND char_length(last_name) BETWEEN 1 AND 255)
);
CREATE INDEX customer_identities_customer_idx ON customer_identities (store_id, customer_id, id);
CREATE INDEX customer_identities_updated_idx ON customer_identities (store_id, updated_at, id);
CREATE INDEX customer_identities_email_idx ON customer_identities (store_id, email_normalized, id);
-- Not on platform itself, or the planner would now and then take it to look for one identity among all of its platform:
-- to a planner without statistics it is as good as the unique index.
CREATE INDEX customer_identities_platform_idx ON customer_identities (store_id, (platform || ''), id);
-- A platform that is common in one store can be rare in another: without this, a page of the rare one's customers is
-- planned as of a common one's.
CREATE STATISTICS customer_identities_platform_stats (mcv) ON store_id, (platform || '') FROM customer_identities;
-- To the planner a store is to have the whole table, whatever ANALYZE finds. Where it found a row or two it would take
-- store_id for unique, and each lookup, and each check of the foreign key, would read all that the store has.
ALTER TABLE customers ALTER COLUMN store_id SET (n_distinct = 1);
ALTER TABLE customer_identities ALTER COLUMN store_id SET (n_distinct = 1);
-- A new store or platform is to be known before it is a tenth of the table, which is the default.
ALTER TABLE customers SET (autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE customer_identities SET (autovacuum_analyze_scale_factor = 0.02);
