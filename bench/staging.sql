-- What PostgreSQL takes for the rows of an import when it gets them all at once, checked and normalised, on the standard
-- input of psql, in CSV: a staging table, and what is new and what differs in one statement for each table. The result is
-- that of the rows one by one.
\set ON_ERROR_STOP on
BEGIN;
CREATE TEMPORARY TABLE staging (
    position bigint, platform text COLLATE "C", their_id text COLLATE "C", email text, normalized text COLLATE "C",
    first_name text, last_name text, identity_id uuid, identity_time timestamptz, customer_id uuid, customer_time timestamptz
) ON COMMIT DROP;
\copy staging FROM pstdin (FORMAT csv)
ANALYZE staging;
CREATE TEMPORARY TABLE account ON COMMIT DROP AS
SELECT DISTINCT ON (platform, their_id) * FROM staging ORDER BY platform, their_id, position;
ANALYZE account;

INSERT INTO customers (store_id, id, email, email_normalized, first_name, last_name, created_at, updated_at)
SELECT DISTINCT ON (normalized) :'store'::uuid, customer_id, email, normalized, first_name, last_name, customer_time, customer_time
FROM account ORDER BY normalized, position
ON CONFLICT (store_id, email_normalized) DO NOTHING;

-- The store is hidden from the planner, whose statistics do not have it yet.
INSERT INTO customer_identities (store_id, id, customer_id, platform, platform_customer_id, email, email_normalized,
    first_name, last_name, created_at, updated_at)
SELECT :'store'::uuid, identity_id, customers.id, platform, their_id, account.email, normalized, account.first_name, account.last_name,
    identity_time, identity_time
FROM account JOIN customers ON store_id = (SELECT :'store'::uuid) AND email_normalized = normalized
ORDER BY platform, their_id
ON CONFLICT (store_id, platform, platform_customer_id) DO NOTHING;

UPDATE customer_identities AS known
SET email = latest.email, email_normalized = normalized, first_name = coalesce(latest.first_name, known.first_name),
    last_name = coalesce(latest.last_name, known.last_name), updated_at = statement_timestamp()
FROM (SELECT DISTINCT ON (platform, their_id) * FROM staging ORDER BY platform, their_id, position DESC) AS latest
WHERE store_id = (SELECT :'store'::uuid) AND known.platform = latest.platform AND platform_customer_id = their_id
    AND (known.email <> latest.email OR latest.first_name <> coalesce(known.first_name, '')
        OR latest.last_name <> coalesce(known.last_name, ''));
COMMIT;
