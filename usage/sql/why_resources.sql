-- What tenant $1 used of meter $2 in the windows of [$3, $4), by resource: its whole days as they are summed, and of a day
-- that is cut its records. An instant begins a day when the one just before it is of another date.
-- What the index is to serve is computed beforehand: under row-level security it is asked for plain comparisons only.
WITH bounds AS MATERIALIZED (
    SELECT t.time_zone, x.first_day, x.end_day,
           (($3::timestamptz - INTERVAL '1 microsecond') AT TIME ZONE t.time_zone)::date = x.first_day AS is_first_cut,
           (($4::timestamptz - INTERVAL '1 microsecond') AT TIME ZONE t.time_zone)::date = x.end_day AS is_end_cut
    FROM tenant t
    CROSS JOIN LATERAL (SELECT ($3::timestamptz AT TIME ZONE t.time_zone)::date AS first_day,
                               ($4::timestamptz AT TIME ZONE t.time_zone)::date AS end_day) x
    WHERE t.tenant_id = $1
), period AS MATERIALIZED (
    SELECT b.first_day + b.is_first_cut::integer AS first_whole_day, b.end_day FROM bounds b
), cut AS MATERIALIZED (
    SELECT x.day, x.time_zone,
           GREATEST($3::timestamptz, (x.day::timestamp AT TIME ZONE x.time_zone) - INTERVAL '3 hours') AS starts,
           LEAST($4::timestamptz, ((x.day + 1)::timestamp AT TIME ZONE x.time_zone) + INTERVAL '3 hours') AS ends
    FROM (
        SELECT b.first_day AS day, b.time_zone FROM bounds b WHERE b.is_first_cut
        UNION
        SELECT b.end_day, b.time_zone FROM bounds b WHERE b.is_end_cut
    ) x
), parts AS (
    SELECT d.kind, d.resource, d.device, d.quantity, d.measured_us, d.estimated_us, d.missing_us, d.records
    FROM period p
    JOIN usage_day d
        ON d.tenant_id = $1 AND d.meter = $2
        AND p.first_whole_day <= d.day AND d.day < p.end_day
    UNION ALL
    SELECT d.kind, d.resource, d.device, u.quantity, u.measured_us, u.estimated_us, u.missing_us, 1
    FROM cut c
    JOIN usage_day d ON d.tenant_id = $1 AND d.meter = $2 AND d.day = c.day
    -- OFFSET keeps this a look-up for each resource: the planner would rather read all that the tenant ever used.
    CROSS JOIN LATERAL (
        SELECT r.quantity, r.measured_us, r.estimated_us, r.missing_us
        FROM usage_record r
        WHERE r.tenant_id = $1 AND r.resource = d.resource AND r.device = d.device AND r.meter = $2
          AND c.starts <= r.window_start AND r.window_start < c.ends AND r.window_end <= $4
          AND (r.window_start AT TIME ZONE c.time_zone)::date = c.day
        OFFSET 0
    ) u
)
SELECT x.kind, x.resource, x.device, sum(x.quantity)::text AS quantity, sum(x.measured_us)::bigint AS measured_us,
       sum(x.estimated_us)::bigint AS estimated_us, sum(x.missing_us)::bigint AS missing_us,
       sum(x.records)::bigint AS records
FROM parts x
GROUP BY x.kind, x.resource, x.device
