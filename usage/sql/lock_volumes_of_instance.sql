SELECT volume_id, first_seen_at
FROM volume
WHERE instance_id = $1
ORDER BY volume_id
FOR UPDATE
