-- A fingerprint of what a tenant used on the local days that touch [$2, $3), of what was corrected of it, and of what its
-- prices depend on: it changes whenever one of them does.
SELECT md5(concat_ws(';',
    (SELECT string_agg(d.day || ' ' || d.meter || ' ' || d.quantity, ',' ORDER BY d.day, d.meter)
     FROM usage_day_total d
     WHERE d.tenant_id = t.tenant_id
       AND d.day >= ($2::timestamptz AT TIME ZONE t.time_zone)::date
       AND d.day <= ($3::timestamptz AT TIME ZONE t.time_zone)::date),
    (SELECT string_agg(c.correction_id::text, ',' ORDER BY c.correction_id)
     FROM usage_correction c
     WHERE c.tenant_id = t.tenant_id AND c.window_start < $3 AND $2 < c.window_end),
    (SELECT string_agg(r.change_id::text, ',' ORDER BY r.change_id)
     FROM resource_dimension r
     WHERE r.valid_from < $3
       AND r.resource IN (SELECT it.instance_id FROM instance_tenant it WHERE it.tenant_id = t.tenant_id
                          UNION ALL
                          SELECT vt.volume_id FROM volume_tenant vt WHERE vt.tenant_id = t.tenant_id)))) AS digest
FROM tenant t
WHERE t.tenant_id = $1
