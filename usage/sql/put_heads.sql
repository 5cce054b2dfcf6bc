INSERT INTO reading_head (resource, kind, device, first_observed_at, last_observed_at, is_gone)
SELECT x.resource, x.kind, x.device, x.first_observed_at, x.last_observed_at, x.is_gone
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::boolean[])
    AS x (resource, kind, device, first_observed_at, last_observed_at, is_gone)
ORDER BY x.resource, x.kind, x.device
ON CONFLICT (resource, kind, device) DO UPDATE SET
    is_gone = CASE WHEN reading_head.last_observed_at < EXCLUDED.last_observed_at THEN EXCLUDED.is_gone
                   WHEN reading_head.last_observed_at = EXCLUDED.last_observed_at
                   THEN reading_head.is_gone OR EXCLUDED.is_gone
                   ELSE reading_head.is_gone END,
    first_observed_at = LEAST(reading_head.first_observed_at, EXCLUDED.first_observed_at),
    last_observed_at = GREATEST(reading_head.last_observed_at, EXCLUDED.last_observed_at)
