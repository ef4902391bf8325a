-- @size@ customers and half as many identities again over 10 stores; the first store has half of everything.
--
-- A customer's key, 12 digits, is in its email, its names and its IDs on the platforms, so that a request can name a
-- customer by a number. In the first store the keys are 100000000001 and on, in the order of creation.
SET session_replication_role = replica; -- no checks of foreign keys: the rows are right

-- The indexes are made at the end: with 2,000,000 customers it then takes three quarters of the time.
CREATE TEMPORARY TABLE made_later AS
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
FROM pg_index WHERE indrelid IN ('customers'::regclass, 'customer_identities'::regclass) AND NOT indisunique;
DO $$ BEGIN EXECUTE (SELECT string_agg('DROP INDEX ' || name, ';') FROM made_later); END $$;

INSERT INTO stores (id, name, created_at)
SELECT ('018c0000-0000-7000-8000-' || lpad(s::text, 12, '0'))::uuid, 'store ' || s, '2024-01-01'
FROM generate_series(1, 10) AS s;

CREATE TEMPORARY TABLE person AS
SELECT ('018c0000-0000-7000-8000-' || lpad((CASE WHEN n % 2 = 0 THEN 1 ELSE 2 + n / 2 % 9 END)::text, 12, '0'))::uuid AS store_id,
    100000000000 + CASE WHEN n % 2 = 0 THEN n / 2 ELSE n END AS key, n / 2 % 2 = 0 AS twice, n / 2 % 4 AS quarter, n,
    floor(extract(epoch FROM timestamptz '2024-01-01' + n * (interval '500 days' / @size@)) * 1000)::bigint AS milli
FROM generate_series(1, @size@) AS n;

-- A UUIDv7 of this instant, different for each text.
CREATE FUNCTION pg_temp.v7(milli bigint, of text) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT (lpad(to_hex(milli), 12, '0') || '7' || substr(md5(of), 1, 3) || '8' || substr(md5(of), 4, 15))::uuid
$$;

INSERT INTO customers (store_id, id, email, email_normalized, first_name, last_name, created_at, updated_at, account_status)
SELECT store_id, pg_temp.v7(milli, 'customer ' || n), 'User' || key || '@Example.com', 'user' || key || '@example.com',
    'First' || key, 'Last' || key, to_timestamp(milli / 1000.0), to_timestamp(milli / 1000.0),
    CASE quarter WHEN 0 THEN 'DISABLED' WHEN 1 THEN 'ENABLED' WHEN 2 THEN 'ENABLED' END
FROM person ORDER BY n;

INSERT INTO customer_identities (store_id, id, customer_id, platform, platform_customer_id, email, email_normalized,
    first_name, last_name, created_at, updated_at)
SELECT store_id, pg_temp.v7(milli, platform || ' ' || n), pg_temp.v7(milli, 'customer ' || n), platform, 'cust_' || key,
    'User' || key || '@Example.com', 'user' || key || '@example.com', 'First' || key, 'Last' || key,
    to_timestamp(milli / 1000.0), to_timestamp(milli / 1000.0)
FROM person JOIN (VALUES ('woocommerce', false), ('shopify', true)) AS account (platform, second) ON twice OR NOT second
ORDER BY n;

SET maintenance_work_mem = '256MB';
DO $$ BEGIN EXECUTE (SELECT string_agg(definition, ';') FROM made_later); END $$;

RESET session_replication_role;
