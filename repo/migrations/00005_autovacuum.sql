-- When autovacuum looks at a table.

-- +goose Up
-- Not before it has rows enough for an index to be worth its while. Of a table that autovacuum has found empty, or with some
-- rows, sessions keep plans that read all of it, while an import makes it large (measured: one that began a minute after
-- the first start took PostgreSQL 34 s of processor time instead of 13). 00002 wrote and deleted 1,000 rows of each.
ALTER TABLE customers SET (autovacuum_vacuum_threshold = 2500, autovacuum_analyze_threshold = 2500);
ALTER TABLE customer_identities SET (autovacuum_vacuum_threshold = 2500, autovacuum_analyze_threshold = 2500);
ALTER TABLE customer_events SET (autovacuum_vacuum_threshold = 2500, autovacuum_analyze_threshold = 2500);
