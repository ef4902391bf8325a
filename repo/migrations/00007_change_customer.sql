-- One customer is changed by plans that are kept.

-- +goose Up
-- change_customer is change_customers for one target: the same in the same order, by statements whose plans suit any customer
-- and are kept, where those for a set of any length are made for it each time (measured: half of an update's time). The store
-- is hidden from the planner, as addHidden of package repo explains.
-- +goose StatementBegin
CREATE FUNCTION change_customer(store uuid, target uuid, change jsonb, if_version integer) RETURNS SETOF customers
LANGUAGE plpgsql AS $$
DECLARE
    was customers;
BEGIN
    IF change ?| '{external_id,email_normalized}' THEN
        PERFORM FROM customers WHERE store_id = (SELECT store) AND id = target AND (
            change ? 'external_id' AND external_id IS DISTINCT FROM change ->> 'external_id'
            OR change ? 'email_normalized' AND email_normalized IS DISTINCT FROM change ->> 'email_normalized') FOR UPDATE;
    END IF;
    SELECT * INTO was FROM customers WHERE store_id = (SELECT store) AND id = target FOR NO KEY UPDATE;
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
        FROM (SELECT customer_changed(was, change) AS changed OFFSET 0) AS computed_once
        WHERE c.store_id = (SELECT store) AND c.id = was.id AND (if_version IS NULL OR if_version = was.version) AND was IS DISTINCT FROM changed
            AND (NOT change ? 'properties' OR octet_length((changed).properties::text) <= 16384
                AND (SELECT count(*) FROM jsonb_object_keys((changed).properties)) <= 100)
        RETURNING c.*;
END $$;
-- +goose StatementEnd

-- The function of 00002 in a language whose functions are parsed and planned once in a session: those of SQL are by every
-- statement, and started and ended for each row (measured: an import of new customers is 3.5 times as fast).
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION customer_changed(customer customers, change jsonb) RETURNS customers LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN jsonb_populate_record(customer, CASE jsonb_typeof(change -> 'properties')
        WHEN 'object' THEN change || jsonb_build_object('properties',
            jsonb_strip_nulls(coalesce(customer.properties, '{}') || (change -> 'properties')))
        WHEN 'null' THEN change || '{"properties": {}}'
        ELSE change
    END);
END $$;
-- +goose StatementEnd
