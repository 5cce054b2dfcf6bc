-- Usage turned out to have begun earlier than was known: whoever held it from its beginning still does.
UPDATE volume_tenant h SET since = x.first_seen_at
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS x (volume_id, was_first_seen_at, first_seen_at)
WHERE h.volume_id = x.volume_id AND h.since = x.was_first_seen_at
