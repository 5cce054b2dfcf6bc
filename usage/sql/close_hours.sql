-- The whole windows of tenant $1 in days $4 to $5 of its zone, of all meters ($7, for the index): those of a day from its
-- row, one after the other from first_window on, each of length_us; where the row holds none, those of that day's records
-- that begin within [$2, $3), each in a row of its own. The three durations are each window's. Resources $6 are left out.
WITH bounds AS MATERIALIZED (
    -- Wider than any day, for the index: see sum_days.
    SELECT x.day, t.time_zone,
           GREATEST($2::timestamptz, (x.day::timestamp AT TIME ZONE t.time_zone) - INTERVAL '3 hours') AS starts,
           LEAST($3::timestamptz, ((x.day + 1)::timestamp AT TIME ZONE t.time_zone) + INTERVAL '3 hours') AS ends
    FROM (SELECT $4::date + n AS day FROM generate_series(0, $5::date - $4::date) AS n) x
    JOIN tenant t ON t.tenant_id = $1
)
SELECT d.kind, d.resource, d.device, d.meter, d.first_window, d.measured_us / d.records AS length_us, d.windows,
       d.measured_us / d.records AS measured_us, 0::bigint AS estimated_us, 0::bigint AS missing_us
FROM usage_day d
WHERE d.tenant_id = $1 AND d.meter = ANY ($7::text[]) AND $4 <= d.day AND d.day <= $5
  AND d.resource <> ALL ($6::uuid[]) AND d.windows IS NOT NULL
UNION ALL
SELECT d.kind, d.resource, d.device, d.meter, u.window_start,
       (EXTRACT(EPOCH FROM u.window_end - u.window_start) * 1000000)::bigint, ARRAY[u.quantity],
       u.measured_us, u.estimated_us, u.missing_us
FROM usage_day d
JOIN bounds b ON b.day = d.day
CROSS JOIN LATERAL (
    SELECT r.window_start, r.window_end, r.quantity, r.measured_us, r.estimated_us, r.missing_us
    FROM usage_record r
    WHERE r.tenant_id = $1 AND r.resource = d.resource AND r.device = d.device AND r.meter = d.meter
      AND b.starts <= r.window_start AND r.window_start < b.ends
      AND (r.window_start AT TIME ZONE b.time_zone)::date = d.day
    -- Keeps this a look-up for each series and day.
    OFFSET 0
) u
WHERE d.tenant_id = $1 AND d.meter = ANY ($7::text[]) AND $4 <= d.day AND d.day <= $5
  AND d.resource <> ALL ($6::uuid[]) AND d.windows IS NULL
