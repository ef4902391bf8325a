-- The properties of customers, and their custom events.

-- +goose Up
ALTER TABLE customers
    ALTER email DROP NOT NULL,
    ALTER email_normalized DROP NOT NULL,
    ADD external_id text COLLATE "C",
    ADD phone_number text COLLATE "C",
    ADD gender text,
    ADD account_created_at timestamptz,
    ADD account_status text,
    ADD default_language text,
    ADD default_currency text,
    ADD tags text[] COLLATE "C" NOT NULL DEFAULT '{}',
    ADD address jsonb,
    ADD accepts_email_marketing boolean,
    ADD accepts_sms_marketing boolean,
    ADD properties jsonb NOT NULL DEFAULT '{}',
    ADD version integer NOT NULL DEFAULT 1,
    ADD CONSTRAINT customers_external_id_key UNIQUE (store_id, external_id),
    ADD CONSTRAINT customers_external_id_check CHECK (char_length(external_id) BETWEEN 1 AND 255),
    ADD CONSTRAINT customers_phone_number_check CHECK (phone_number ~ '^\+[1-9][0-9]{1,14}$'),
    ADD CONSTRAINT customers_gender_check CHECK (gender IN ('FEMALE', 'MALE', 'OTHER')),
    ADD CONSTRAINT customers_account_status_check CHECK (account_status IN ('ENABLED', 'DISABLED', 'INVITED', 'DECLINED')),
    ADD CONSTRAINT customers_default_language_check CHECK (default_language ~ '^[a-z]{2}$'),
    ADD CONSTRAINT customers_default_currency_check CHECK (default_currency ~ '^[A-Z]{3}$'),
    ADD CONSTRAINT customers_tags_check CHECK (cardinality(tags) <= 250),
    ADD CONSTRAINT customers_properties_check CHECK (jsonb_typeof(properties) = 'object' AND octet_length(properties::text) <= 16384);

CREATE INDEX customers_email_idx ON customers (store_id, coalesce(email_normalized, ''), id);
-- These hold only the customers that have the property, so that those that an identity creates cost nothing.
CREATE INDEX customers_phone_number_idx ON customers (store_id, phone_number, id) WHERE phone_number IS NOT NULL;
CREATE INDEX customers_account_status_idx ON customers (store_id, account_status, id) WHERE account_status IS NOT NULL;
CREATE INDEX customers_tags_idx ON customers USING gin (tags) WHERE tags <> '{}';

-- customer_changed returns the customer as it is after a change: a JSON object with a member for each column that is to
-- be set. Properties are merged key by key, and a null among them removes its key.
-- +goose StatementBegin
CREATE FUNCTION customer_changed(customer customers, change jsonb) RETURNS customers LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_populate_record(customer, CASE jsonb_typeof(change -> 'properties')
        WHEN 'object' THEN change || jsonb_build_object('properties',
            jsonb_strip_nulls(coalesce(customer.properties, '{}') || (change -> 'properties')))
        WHEN 'null' THEN change || '{"properties": {}}'
        ELSE change
    END)
$$;
-- +goose StatementEnd

CREATE TABLE customer_events (
    store_id    uuid NOT NULL,
    id          uuid NOT NULL,
    customer_id uuid NOT NULL,
    source      text COLLATE "C" NOT NULL,
    type        text COLLATE "C" NOT NULL,
    event_id    text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    properties  jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (store_id, id),
    CONSTRAINT customer_events_event_key UNIQUE (store_id, source, event_id),
    CONSTRAINT customer_events_customer_fkey FOREIGN KEY (store_id, customer_id) REFERENCES customers,
    CONSTRAINT customer_events_text_check CHECK (
        source ~ '^[a-z][a-z0-9_]{0,63}$' AND type ~ '^[a-z][a-z0-9_]{0,63}$' AND char_length(event_id) BETWEEN 1 AND 255),
    CONSTRAINT customer_events_properties_check CHECK (jsonb_typeof(properties) = 'object' AND octet_length(properties::text) <= 16384)
);
CREATE INDEX customer_events_customer_idx ON customer_events (store_id, customer_id, occurred_at, id);
CREATE INDEX customer_events_type_idx ON customer_events (store_id, customer_id, type, occurred_at, id);

-- As for the other tables: what the planner must not conclude from one store's rows for another's.
ALTER TABLE customer_events ALTER store_id SET (n_distinct = 1);
ALTER TABLE customer_events SET (autovacuum_analyze_scale_factor = 0.02);

-- PostgreSQL checks a foreign key with a plan that it keeps, and without statistics it takes any store for few rows, so
-- that any index of customers will do: the check of each identity's customer read one by its store alone, all of it
-- (measured: an import into a new store took 7 times as long). So the tables know from the start that a store may be
-- everything and that an ID is one row, which n_distinct and one row of each of many stores tell; they are gone again
-- with the migration. Nothing is told of the other columns, so that these are planned by their sizes as before.
CREATE TEMPORARY TABLE statistics ON COMMIT DROP AS
    SELECT gen_random_uuid() AS id, now() AS at FROM generate_series(1, 1000);
INSERT INTO stores (id, name, created_at) SELECT id, id, at FROM statistics;
INSERT INTO customers (store_id, id, created_at, updated_at) SELECT id, id, at, at FROM statistics;
INSERT INTO customer_identities (store_id, id, customer_id, platform, platform_customer_id, email, email_normalized, created_at, updated_at)
    SELECT id, id, id, 'none', id, id, id, at, at FROM statistics;
INSERT INTO customer_events (store_id, id, customer_id, source, type, event_id, occurred_at, created_at, updated_at)
    SELECT id, id, id, 'none', 'none', id, at, at, at FROM statistics;
ANALYZE customers (store_id, id), customer_identities (store_id, id), customer_events (store_id, id);
DELETE FROM customer_events WHERE store_id IN (SELECT id FROM statistics);
DELETE FROM customer_identities WHERE store_id IN (SELECT id FROM statistics);
DELETE FROM customers WHERE store_id IN (SELECT id FROM statistics);
DELETE FROM stores WHERE id IN (SELECT id FROM statistics);
