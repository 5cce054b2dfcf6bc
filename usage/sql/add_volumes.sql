INSERT INTO volume (volume_id, pool, name, path, first_seen_at)
SELECT x.volume_id, '', x.volume_id::text, '', x.first_seen_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS x (volume_id, first_seen_at)
ORDER BY x.volume_id
ON CONFLICT (volume_id) DO NOTHING
