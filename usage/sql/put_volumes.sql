-- Readings of a volume that is there bring back one that was taken for gone only when they are newer.
UPDATE volume v SET
    first_seen_at = LEAST(v.first_seen_at, x.first_seen_at),
    gone_at = CASE WHEN x.is_present IS NULL THEN v.gone_at
                   WHEN NOT x.is_present THEN GREATEST(v.gone_at, x.seen_at)
                   WHEN v.gone_at <= x.seen_at THEN NULL
                   ELSE v.gone_at END,
    capacity_bytes = CASE WHEN COALESCE(v.last_observed_at, x.seen_at) <= x.seen_at THEN x.capacity_bytes
                          ELSE v.capacity_bytes END,
    node_id = CASE WHEN COALESCE(v.last_observed_at, x.seen_at) <= x.seen_at THEN $6 ELSE v.node_id END,
    moved_at = CASE WHEN v.node_id <> $6 AND v.last_observed_at <= x.seen_at THEN x.first_read ELSE v.moved_at END,
    last_observed_at = GREATEST(v.last_observed_at, x.seen_at)
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::boolean[], $5::bigint[], $7::timestamptz[])
    AS x (volume_id, first_seen_at, seen_at, is_present, capacity_bytes, first_read)
WHERE v.volume_id = x.volume_id
