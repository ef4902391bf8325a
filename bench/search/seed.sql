-- Seeds $n customers and 1.5 $n identities over 10 stores, half of them in one. Secondary indexes are made at the end.
CREATE TEMP TABLE made_later AS SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
    WHERE indrelid IN ('customers'::regclass, 'customer_identities'::regclass) AND indexrelid::regclass::text LIKE '%\_idx';
DO $$ BEGIN EXECUTE (SELECT string_agg(format('DROP INDEX %s', name), ';') FROM made_later); END $$;
ALTER TABLE customer_identities DROP CONSTRAINT customer_identities_customer_fkey;

CREATE FUNCTION pg_temp.v7(milli bigint, kind int, n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
 $$ SELECT (lpad(to_hex(milli), 12, '0') || '7000' || to_hex(8 + kind) || lpad(to_hex(n), 15, '0'))::uuid $$;
CREATE FUNCTION pg_temp.store(c bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
 $$ SELECT ('00000000-0000-7000-8000-' || lpad((CASE WHEN c % 2 = 0 THEN 0 ELSE 1 + c / 2 % 9 END)::text, 12, '0'))::uuid $$;
INSERT INTO stores SELECT pg_temp.store(c), 'store ' || c, now() FROM (SELECT 2 UNION ALL SELECT generate_series(1, 17, 2)) AS each (c);
CREATE TEMP TABLE people AS SELECT n, 1700000000000 + n*977 AS milli, h,
  (ARRAY['Jane','John','Mary','James','Linda','Robert','Anne-Marie','Zoë','Renée','José','Søren','Jürgen','Владимир','Ольга','小明','Max','Peter','Paula','Ines','Tom'])[1+h%20] AS f,
  (ARRAY['Doe','Smith','O''Brien','Müller','Nguyen','Иванов','王','Garcia','Lopez','Jones','Taylor','Brown'])[1+h/20%12] || CASE WHEN h%3=0 THEN '' ELSE (ARRAY['son','ova','ski','sen','wick','field','worth','ham','stein','burg'])[1+h/240%10] END AS l,
  (ARRAY['gmail.com','example.com','web-mail.example','outlook.com','gmx.de','yahoo.com','qq.com','corp'||h/1000%500||'.com'])[1+h/7%8] AS d,
  substr(md5(n::text),1,2+(h%5)::int) AS x
 FROM (SELECT n, abs(hashint8(n)::bigint) AS h FROM generate_series(1,$n) n) e;
INSERT INTO customers (store_id,id,email,email_normalized,first_name,last_name,external_id,phone_number,account_status,tags,created_at,updated_at)
 SELECT pg_temp.store(n), pg_temp.v7(milli,0,n), em, lower(em), f, CASE WHEN n%10<8 THEN l END, CASE WHEN n%3=0 THEN 'ERP-'||(h%100000000)||'-'||n END,
  CASE WHEN n%4=0 THEN '+1'||(2000000000+h) END,
  CASE WHEN n%3=0 THEN (ARRAY['ENABLED','ENABLED','ENABLED','ENABLED','ENABLED','ENABLED','ENABLED','DISABLED','INVITED'])[1+h%9] WHEN n%50000=2 THEN 'DECLINED' END,
  CASE WHEN n%2=0 THEN ARRAY(SELECT DISTINCT t COLLATE "C" FROM unnest(ARRAY['newsletter', 'tag '||h%50, CASE WHEN n%50000=2 THEN 'rare' END, CASE WHEN n%10=0 THEN 'vip' END]) t WHERE t IS NOT NULL ORDER BY 1) ELSE '{}' END,
  to_timestamp(milli/1000.0), to_timestamp(milli/1000.0) + h%100000 * interval '1 second'
 FROM (SELECT *, lower(regexp_replace(translate(f,'ëéøü','eeou'),'[^a-zA-Z]','','g')) || '.' || lower(regexp_replace(l,'[^a-zA-Z]','','g')) || x || n%1000 || n/1000 ||'@'||d AS em FROM people) p;
INSERT INTO customer_identities (store_id,id,customer_id,platform,platform_customer_id,email,email_normalized,first_name,last_name,created_at,updated_at)
 SELECT c.store_id, pg_temp.v7(p.milli + k, 1, p.n*2+k), c.id, (ARRAY['shopify','woocommerce'])[1+k], CASE WHEN k=0 THEN (7000000000000+p.n*37)::text ELSE 'cust_'||19000000+p.n END,
  c.email,c.email_normalized,c.first_name,c.last_name,c.created_at,c.updated_at
 FROM people p JOIN customers c ON c.store_id=pg_temp.store(p.n) AND c.id=pg_temp.v7(p.milli,0,p.n), generate_series(0,1) k WHERE k=0 OR p.n%2=0;

DROP TABLE people;
DO $$ BEGIN EXECUTE (SELECT string_agg(definition, ';') FROM made_later); END $$;
ALTER TABLE customer_identities ADD CONSTRAINT customer_identities_customer_fkey FOREIGN KEY (store_id, customer_id) REFERENCES customers;
