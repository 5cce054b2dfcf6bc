-- It was done to an instance, perhaps once more: somebody had started it again.
INSERT INTO limit_action_instance AS i (action_id, instance_id, tenant_id, done_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (action_id, instance_id) DO UPDATE
SET done_at = EXCLUDED.done_at, undone_at = NULL
