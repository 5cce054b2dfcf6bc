-- $1 tenants since a day before $3, whose days are UTC's ($2) or also Berlin's.
INSERT INTO tenant (tenant_id, name, display_name, time_zone, created_at)
SELECT md5('bench tenant ' || n)::uuid, 'bench-' || lpad(n::text, 4, '0'), 'Bench ' || n,
       CASE WHEN $2 OR n % 2 = 0 THEN 'UTC' ELSE 'Europe/Berlin' END, $3::timestamptz - INTERVAL '1 day'
FROM generate_series(1, $1::bigint) n
