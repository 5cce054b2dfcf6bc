-- A fingerprint of what a tenant used on the local days that touch [$2, $3): it changes whenever a sum does.
SELECT md5(COALESCE(string_agg(d.day || ' ' || d.meter || ' ' || d.quantity, ',' ORDER BY d.day, d.meter), '')) AS digest
FROM usage_day_total d
JOIN tenant t ON t.tenant_id = d.tenant_id
WHERE d.tenant_id = $1
  AND d.day >= ($2::timestamptz AT TIME ZONE t.time_zone)::date
  AND d.day <= ($3::timestamptz AT TIME ZONE t.time_zone)::date
