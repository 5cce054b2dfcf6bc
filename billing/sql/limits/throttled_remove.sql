DELETE FROM throttled_instance
WHERE instance_id = $1
