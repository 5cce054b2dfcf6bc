-- Usage turned out to have begun earlier than was known: whoever held it from its beginning still does.
UPDATE instance_tenant h SET since = x.first_seen_at
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS x (instance_id, was_first_seen_at, first_seen_at)
WHERE h.instance_id = x.instance_id AND h.since = x.was_first_seen_at
