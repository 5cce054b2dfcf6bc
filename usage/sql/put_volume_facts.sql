-- A volume that lies in no pool has its path for a name. One that is detached stays known by its last instance.
UPDATE volume v SET
    pool = x.pool,
    name = x.name,
    path = CASE WHEN x.pool = '' THEN x.name ELSE '' END,
    instance_id = COALESCE(x.instance_id, v.instance_id),
    facts_at = $5
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[]) AS x (volume_id, pool, name, instance_id)
WHERE v.volume_id = x.volume_id AND COALESCE(v.facts_at, $5) <= $5
