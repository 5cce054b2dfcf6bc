-- What tenant $1 used in spans of days from $2 to before $3 (in order, disjoint; all within [$4, $5)), by resource, meter
-- ($7: all of them, for the index) and number of the span. Resources $6 are left out.
SELECT x.kind, x.resource, x.device, x.meter, x.part,
       sum(x.quantity)::bigint AS quantity,
       sum(x.measured_us)::bigint AS measured_us,
       sum(x.estimated_us)::bigint AS estimated_us,
       sum(x.missing_us)::bigint AS missing_us
FROM (
    SELECT d.kind, d.resource, d.device, d.meter, d.day, width_bucket(d.day, $2::date[]) AS part, d.quantity,
           d.measured_us, d.estimated_us, d.missing_us
    FROM usage_day d
    WHERE d.tenant_id = $1 AND d.meter = ANY ($7::text[]) AND $4 <= d.day AND d.day < $5
      AND d.resource <> ALL ($6::uuid[])
) x
WHERE x.day < ($3::date[])[x.part]
GROUP BY x.kind, x.resource, x.device, x.meter, x.part
