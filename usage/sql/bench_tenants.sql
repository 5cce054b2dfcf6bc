INSERT INTO tenant (tenant_id, name, display_name, time_zone)
SELECT md5('bench tenant ' || n)::uuid, 'bench-' || lpad(n::text, 4, '0'), 'Bench ' || n,
       CASE n % 2 WHEN 0 THEN 'UTC' ELSE 'Europe/Berlin' END
FROM generate_series(1, $1::bigint) n
