-- Sums the days of resource $1 again in which a record of tenant $2 that begins at $3 changed, and moves the totals of
-- their tenants by the difference. Whoever derives the resource holds its lock, so its rows of usage_day hold still; rows
-- of usage_day_total are taken in the order of their keys.
WITH days AS MATERIALIZED (
    SELECT DISTINCT x.tenant_id, t.time_zone, (x.window_start AT TIME ZONE t.time_zone)::date AS day
    FROM unnest($2::uuid[], $3::timestamptz[]) AS x (tenant_id, window_start)
    JOIN tenant t ON t.tenant_id = x.tenant_id
), touched AS MATERIALIZED (
    -- The bounds are wider than any day and serve the index; where a clock is set back at midnight, a local time alone
    -- does not say which of two instants is meant. Computed here: under row-level security an index is asked for plain
    -- comparisons only.
    SELECT d.tenant_id, d.time_zone, d.day,
           (d.day::timestamp AT TIME ZONE d.time_zone) - INTERVAL '3 hours' AS starts,
           ((d.day + 1)::timestamp AT TIME ZONE d.time_zone) + INTERVAL '3 hours' AS ends
    FROM days d
), fresh AS MATERIALIZED (
    SELECT d.tenant_id, d.day, u.kind, u.device, u.meter, sum(u.quantity) AS quantity,
           sum(u.measured_us)::bigint AS measured_us, sum(u.estimated_us)::bigint AS estimated_us,
           sum(u.missing_us)::bigint AS missing_us, count(*) AS records, min(u.window_start) AS first_window,
           -- No more than quarters of an hour: the running day's row is written again and again.
           CASE WHEN count(*) <= 100 AND min(u.measured_us) = max(u.measured_us)
                     AND bool_and(u.window_end - u.window_start = u.measured_us * INTERVAL '1 microsecond')
                     AND max(u.window_end) - min(u.window_start) = sum(u.measured_us)::bigint * INTERVAL '1 microsecond'
                THEN array_agg(u.quantity ORDER BY u.window_start)
           END AS windows
    FROM touched d
    JOIN usage_record u
        ON u.resource = $1 AND u.tenant_id = d.tenant_id
        AND d.starts <= u.window_start AND u.window_start < d.ends
        AND (u.window_start AT TIME ZONE d.time_zone)::date = d.day
    GROUP BY d.tenant_id, d.day, u.kind, u.device, u.meter
), known AS MATERIALIZED (
    SELECT o.tenant_id, o.day, o.kind, o.device, o.meter, o.quantity, o.measured_us, o.estimated_us, o.missing_us,
           o.records
    FROM touched d
    JOIN usage_day o ON o.tenant_id = d.tenant_id AND o.resource = $1 AND o.day = d.day
), removed AS (
    DELETE FROM usage_day o
    USING known k
    WHERE o.tenant_id = k.tenant_id AND o.resource = $1 AND o.device = k.device AND o.meter = k.meter AND o.day = k.day
      AND NOT EXISTS (
          SELECT FROM fresh f
          WHERE f.tenant_id = k.tenant_id AND f.day = k.day AND f.device = k.device AND f.meter = k.meter
      )
), put AS (
    INSERT INTO usage_day AS o (
        tenant_id, day, kind, resource, device, meter, quantity, measured_us, estimated_us, missing_us, records,
        first_window, windows
    )
    SELECT f.tenant_id, f.day, f.kind, $1, f.device, f.meter, f.quantity, f.measured_us, f.estimated_us, f.missing_us,
           f.records, CASE WHEN f.windows IS NOT NULL THEN f.first_window END, f.windows
    FROM fresh f
    ON CONFLICT (tenant_id, resource, device, meter, day) DO UPDATE SET
        quantity = EXCLUDED.quantity,
        measured_us = EXCLUDED.measured_us,
        estimated_us = EXCLUDED.estimated_us,
        missing_us = EXCLUDED.missing_us,
        records = EXCLUDED.records,
        first_window = EXCLUDED.first_window,
        windows = EXCLUDED.windows
    WHERE (o.quantity, o.measured_us, o.estimated_us, o.missing_us, o.records, o.first_window, o.windows)
          IS DISTINCT FROM
          (EXCLUDED.quantity, EXCLUDED.measured_us, EXCLUDED.estimated_us, EXCLUDED.missing_us, EXCLUDED.records,
           EXCLUDED.first_window, EXCLUDED.windows)
), difference AS (
    SELECT x.tenant_id, x.day, x.meter, sum(x.quantity) AS quantity, sum(x.measured_us)::bigint AS measured_us,
           sum(x.estimated_us)::bigint AS estimated_us, sum(x.missing_us)::bigint AS missing_us,
           sum(x.records)::bigint AS records
    FROM (
        SELECT f.tenant_id, f.day, f.meter, f.quantity, f.measured_us, f.estimated_us, f.missing_us, f.records
        FROM fresh f
        UNION ALL
        SELECT k.tenant_id, k.day, k.meter, -k.quantity, -k.measured_us, -k.estimated_us, -k.missing_us, -k.records
        FROM known k
    ) x
    GROUP BY x.tenant_id, x.day, x.meter
    HAVING (sum(x.quantity), sum(x.measured_us), sum(x.estimated_us), sum(x.missing_us), sum(x.records))
           IS DISTINCT FROM (0, 0, 0, 0, 0)
)
INSERT INTO usage_day_total AS o (
    tenant_id, day, meter, quantity, measured_us, estimated_us, missing_us, records
)
SELECT d.tenant_id, d.day, d.meter, d.quantity, d.measured_us, d.estimated_us, d.missing_us, d.records
FROM difference d
ORDER BY d.tenant_id, d.day, d.meter
ON CONFLICT (tenant_id, day, meter) DO UPDATE SET
    quantity = o.quantity + EXCLUDED.quantity,
    measured_us = o.measured_us + EXCLUDED.measured_us,
    estimated_us = o.estimated_us + EXCLUDED.estimated_us,
    missing_us = o.missing_us + EXCLUDED.missing_us,
    records = o.records + EXCLUDED.records
