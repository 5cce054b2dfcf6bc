-- What ended actions were done to and is not undone yet.
SELECT i.action_id, i.instance_id, i.tenant_id, l.action
FROM limit_action_instance i
JOIN limit_action l ON l.action_id = i.action_id
WHERE i.undone_at IS NULL AND l.ended_at IS NOT NULL
ORDER BY l.ended_at, i.instance_id
LIMIT $1
