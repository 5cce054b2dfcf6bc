DELETE FROM instance_hold
WHERE instance_id = $1
