-- In the order of their ids, so that two transactions never wait for each other.
SELECT instance_id, first_seen_at
FROM instance
WHERE instance_id = ANY ($1)
ORDER BY instance_id
FOR UPDATE
