-- Records in the windows ($2, $3) that are not among the new ones ($4 to $8). Returns what changed.
DELETE FROM usage_record u
USING unnest($2::timestamptz[], $3::timestamptz[]) AS w (starts, ends)
WHERE u.resource = $1
  AND w.starts <= u.window_start AND u.window_start < w.ends
  AND NOT EXISTS (
      SELECT
      FROM unnest($4::uuid[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[])
          AS x (tenant_id, device, meter, window_start, window_end)
      WHERE x.tenant_id = u.tenant_id AND x.device = u.device AND x.meter = u.meter
        AND x.window_start = u.window_start AND x.window_end = u.window_end
  )
RETURNING u.tenant_id, u.window_start
