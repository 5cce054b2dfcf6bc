SELECT volume_id, first_seen_at
FROM volume
WHERE volume_id = ANY ($1)
ORDER BY volume_id
FOR UPDATE
