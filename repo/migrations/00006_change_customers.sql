-- How customers are changed under races.

-- +goose Up
-- change_customers changes each target as customer_changed says, and returns it; but not one that has another version than is
-- asked for, if one is, where nothing is left to change, or where its properties would go beyond their limits, which are
-- those of model.MaxProperties and model.MaxPropertiesSize.
--
-- Each statement of a function has a snapshot of its own, so that the UPDATE sees the rows as they are locked. One that
-- meets a newer row than its snapshot has locks it as if its keys were to change, and so waits for every identity and
-- event that is being linked to it; and it may wait at the older row for somebody who waits for it at the newer. (Lock and
-- UPDATE in one statement stood still for a second, in a deadlock, in one of some hundred races of batches with those.)
--
-- A key that is to change does need the stronger lock, and taken at once it is taken in the order of IDs.
--
-- All are planned for the tables as they are: a plan kept from when they were empty would read them whole.
-- +goose StatementBegin
CREATE FUNCTION change_customers(store uuid, targets uuid[], changes jsonb[], if_versions integer[]) RETURNS SETOF customers
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    locked customers[];
BEGIN
    IF EXISTS (SELECT FROM unnest(targets, changes) AS wanted (target, change) JOIN customers ON store_id = store AND id = target
        WHERE change ? 'external_id' AND external_id IS DISTINCT FROM change ->> 'external_id'
            OR change ? 'email_normalized' AND email_normalized IS DISTINCT FROM change ->> 'email_normalized') THEN
        PERFORM FROM customers WHERE store_id = store AND id = ANY (targets) ORDER BY id FOR UPDATE;
    END IF;
    locked := ARRAY(SELECT c FROM customers c WHERE store_id = store AND id = ANY (targets) ORDER BY id FOR NO KEY UPDATE);
    RETURN QUERY
        UPDATE customers AS c
        SET external_id = (changed).external_id, email = (changed).email, email_normalized = (changed).email_normalized,
            phone_number = (changed).phone_number, first_name = (changed).first_name, last_name = (changed).last_name,
            gender = (changed).gender, account_created_at = (changed).account_created_at,
            account_status = (changed).account_status, default_language = (changed).default_language,
            default_currency = (changed).default_currency, tags = (changed).tags, address = (changed).address,
            accepts_email_marketing = (changed).accepts_email_marketing,
            accepts_sms_marketing = (changed).accepts_sms_marketing, properties = (changed).properties,
            version = c.version + 1, updated_at = greatest(statement_timestamp(), c.updated_at + interval '1 microsecond')
        FROM unnest(targets, changes, if_versions) AS wanted (target, change, if_version)
        JOIN unnest(locked) AS was ON was.id = target
        CROSS JOIN LATERAL (SELECT customer_changed(was, change) AS changed OFFSET 0) AS computed_once
        WHERE c.store_id = store AND c.id = target AND (if_version IS NULL OR if_version = was.version) AND was IS DISTINCT FROM changed
            AND (NOT change ? 'properties' OR octet_length((changed).properties::text) <= 16384
                AND (SELECT count(*) FROM jsonb_object_keys((changed).properties)) <= 100)
        RETURNING c.*;
END $$;
-- +goose StatementEnd
