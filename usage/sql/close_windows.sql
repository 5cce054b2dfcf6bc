-- What tenant $1 used in whole windows within spans from $2 to $3 (in order, disjoint; all within [$4, $5)), by resource,
-- meter and number of the span. Resources $8 are left out. Which series there are is in the sums of the days ($6 to $7)
-- that the spans touch: without them an index that ends in the time would have to be read for all that was ever used.
WITH series AS MATERIALIZED (
    SELECT DISTINCT d.kind, d.resource, d.device, d.meter
    FROM usage_day d
    WHERE d.tenant_id = $1 AND $6 <= d.day AND d.day <= $7 AND d.resource <> ALL ($8::uuid[])
)
SELECT s.kind, s.resource, s.device, s.meter, u.part, u.quantity, u.measured_us, u.estimated_us, u.missing_us
FROM series s
CROSS JOIN LATERAL (
    SELECT x.part,
           sum(x.quantity)::bigint AS quantity,
           sum(x.measured_us)::bigint AS measured_us,
           sum(x.estimated_us)::bigint AS estimated_us,
           sum(x.missing_us)::bigint AS missing_us
    FROM (
        SELECT width_bucket(r.window_start, $2::timestamptz[]) AS part, r.window_end, r.quantity, r.measured_us,
               r.estimated_us, r.missing_us
        FROM usage_record r
        WHERE r.tenant_id = $1 AND r.resource = s.resource AND r.device = s.device AND r.meter = s.meter
          AND $4 <= r.window_start AND r.window_start < $5
        -- Keeps this a look-up for each series.
        OFFSET 0
    ) x
    WHERE x.window_end <= ($3::timestamptz[])[x.part]
    GROUP BY x.part
) u
