-- The readings next to what came late: the last one before it and the first one after it, if any.
SELECT x.n,
       (SELECT max(r.observed_at) FROM visible_volume_reading r
        WHERE r.volume_id = x.resource AND r.observed_at < x.first) AS before,
       (SELECT min(r.observed_at) FROM visible_volume_reading r
        WHERE r.volume_id = x.resource AND x.last < r.observed_at) AS after
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    WITH ORDINALITY AS x (resource, device, first, last, n)
