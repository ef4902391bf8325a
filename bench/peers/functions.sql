-- The upserts as PostGraphile needs them: functions. What they run are Akin's own statements, put in where an @ is.

CREATE SCHEMA bench;

CREATE TYPE bench.upserted_row AS (
    store_id uuid, id uuid, customer_id uuid, platform text, platform_customer_id text, email text, email_normalized text,
    first_name text, last_name text, created_at timestamptz, updated_at timestamptz, outcome text);

CREATE FUNCTION bench.upsert_one(uuid, text, text, text, text, text, text, uuid, timestamptz, uuid, timestamptz)
RETURNS SETOF bench.upserted_row LANGUAGE plpgsql AS $function$ BEGIN
RETURN QUERY @one@;
END $function$;

CREATE FUNCTION bench.upsert_many(
    uuid, text[], text[], text[], text[], text[], text[], uuid[], timestamptz[], uuid[], timestamptz[], uuid[])
RETURNS SETOF bench.upserted_row LANGUAGE plpgsql AS $function$ BEGIN
RETURN QUERY @many@;
END $function$;

-- A UUID with the time in front, as Akin's IDs have it.
CREATE FUNCTION bench.new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || substr(gen_random_uuid()::text, 16))::uuid
$$;

CREATE TYPE upserted AS (outcome text, customer_link text, customer_identity customer_identities);

CREATE FUNCTION bench.answer(r bench.upserted_row, proposed uuid) RETURNS upserted LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW(r.outcome,
        CASE WHEN r.outcome <> 'CREATED' THEN 'KEPT' WHEN r.customer_id = proposed THEN 'CREATED' ELSE 'MATCHED_BY_EMAIL' END,
        ROW(r.store_id, r.id, r.customer_id, r.platform, r.platform_customer_id, r.email, r.email_normalized,
            r.first_name, r.last_name, r.created_at, r.updated_at, NULL)::customer_identities)::upserted -- search_text, for nobody
$$;

CREATE FUNCTION upsert_customer_identity(
    store_id uuid, platform text, platform_customer_id text, email text, first_name text DEFAULT NULL, last_name text DEFAULT NULL
) RETURNS upserted LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    proposed uuid := bench.new_id();
    r bench.upserted_row;
BEGIN
    SELECT * INTO r FROM bench.upsert_one($1, $2, $3, $4, lower(btrim($4)), $5, $6, bench.new_id(), now(), proposed, now());
    RETURN bench.answer(r, proposed);
END $$;

CREATE TYPE customer_identity_input AS (
    platform text, platform_customer_id text, email text, first_name text, last_name text);

CREATE FUNCTION upsert_customer_identities(store_id uuid, inputs customer_identity_input[])
RETURNS SETOF upserted LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    platforms text[]; their_ids text[]; emails text[]; normalized text[]; first_names text[]; last_names text[];
    ids uuid[]; times timestamptz[]; proposed uuid[];
BEGIN
    SELECT array_agg(i.platform), array_agg(i.platform_customer_id), array_agg(i.email), array_agg(lower(btrim(i.email))),
        array_agg(i.first_name), array_agg(i.last_name), array_agg(bench.new_id()), array_agg(now()), array_agg(bench.new_id())
    INTO platforms, their_ids, emails, normalized, first_names, last_names, ids, times, proposed
    FROM unnest(inputs) AS i;
    RETURN QUERY SELECT answer.*
    FROM unnest(platforms, their_ids, proposed) WITH ORDINALITY AS i (platform, their_id, id, position)
    JOIN bench.upsert_many($1, platforms, their_ids, emails, normalized, first_names, last_names, ids, times, proposed, times, NULL) AS r
        ON r.platform = i.platform AND r.platform_customer_id = i.their_id
    CROSS JOIN LATERAL bench.answer(r, i.id) AS answer
    ORDER BY i.position;
END $$;

-- The search, by the same indexes as Akin's. The pattern is a SELECT to be made once, not for each row.
CREATE FUNCTION search_customers(store_id uuid, fragment text) RETURNS SETOF customers LANGUAGE sql STABLE AS $$
    SELECT * FROM customers AS c
    WHERE c.store_id = $1 AND c.id IN (
        SELECT found.id FROM customers AS found
        WHERE found.store_id = $1 AND found.search_text LIKE (SELECT '%' || regexp_replace(search_fold($2), '([\\%_])', '\\\1', 'g') || '%')
        UNION
        SELECT found.customer_id FROM customer_identities AS found
        WHERE found.store_id = $1 AND found.search_text LIKE (SELECT '%' || regexp_replace(search_fold($2), '([\\%_])', '\\\1', 'g') || '%'))
    ORDER BY c.id DESC
$$;

-- PostGraphile filters by the columns that an index begins with; that of the states is a partial one, which it passes over.
COMMENT ON COLUMN customers.account_status IS '@behavior +attribute:filterBy +filterBy';
