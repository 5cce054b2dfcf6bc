SELECT instance_id AS resource, name FROM instance WHERE instance_id = ANY ($1)
UNION ALL
SELECT volume_id, CASE WHEN pool = '' THEN name ELSE pool || '/' || name END FROM volume WHERE volume_id = ANY ($1)
