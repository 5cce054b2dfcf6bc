UPDATE instance_hold
SET is_pending = false, changed_at = greatest(changed_at, $2)
WHERE instance_id = $1
