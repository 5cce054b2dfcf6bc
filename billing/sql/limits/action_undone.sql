UPDATE limit_action_instance
SET undone_at = $3
WHERE action_id = $1 AND instance_id = $2 AND undone_at IS NULL
