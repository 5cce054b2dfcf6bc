-- What tenant $1 used in whole windows within spans from $2 to $3 (in order, disjoint; all within [$4, $5)), by resource,
-- meter ($9: all of them, for the index) and number of the span. Resources $8 are left out. From the windows that the rows
-- of the days ($6 to $7) hold, and where they hold none from that day's records.
WITH days AS MATERIALIZED (
    SELECT d.kind, d.resource, d.device, d.meter, d.day, d.first_window, d.windows, d.measured_us / d.records AS length_us
    FROM usage_day d
    WHERE d.tenant_id = $1 AND d.meter = ANY ($9::text[]) AND $6 <= d.day AND d.day <= $7
      AND d.resource <> ALL ($8::uuid[])
), bounds AS MATERIALIZED (
    -- Wider than any day, for the index: see sum_days.
    SELECT x.day, t.time_zone,
           GREATEST($4::timestamptz, (x.day::timestamp AT TIME ZONE t.time_zone) - INTERVAL '3 hours') AS starts,
           LEAST($5::timestamptz, ((x.day + 1)::timestamp AT TIME ZONE t.time_zone) + INTERVAL '3 hours') AS ends
    FROM (SELECT DISTINCT d.day FROM days d WHERE d.windows IS NULL) x
    JOIN tenant t ON t.tenant_id = $1
), found AS (
    SELECT d.kind, d.resource, d.device, d.meter,
           d.first_window + (w.n - 1) * d.length_us * INTERVAL '1 microsecond' AS window_start,
           d.first_window + w.n * d.length_us * INTERVAL '1 microsecond' AS window_end,
           w.quantity, d.length_us AS measured_us, 0::bigint AS estimated_us, 0::bigint AS missing_us
    FROM days d
    CROSS JOIN LATERAL unnest(d.windows) WITH ORDINALITY AS w (quantity, n)
    UNION ALL
    SELECT d.kind, d.resource, d.device, d.meter, u.window_start, u.window_end, u.quantity, u.measured_us,
           u.estimated_us, u.missing_us
    FROM days d
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
    WHERE d.windows IS NULL
)
SELECT x.kind, x.resource, x.device, x.meter, x.part,
       sum(x.quantity)::bigint AS quantity,
       sum(x.measured_us)::bigint AS measured_us,
       sum(x.estimated_us)::bigint AS estimated_us,
       sum(x.missing_us)::bigint AS missing_us
FROM (
    SELECT f.kind, f.resource, f.device, f.meter, width_bucket(f.window_start, $2::timestamptz[]) AS part, f.window_end,
           f.quantity, f.measured_us, f.estimated_us, f.missing_us
    FROM found f
    WHERE $4 <= f.window_start AND f.window_start < $5
) x
WHERE x.window_end <= ($3::timestamptz[])[x.part]
GROUP BY x.kind, x.resource, x.device, x.meter, x.part
