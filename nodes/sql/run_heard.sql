UPDATE node
SET last_heard_at = GREATEST(last_heard_at, $2), run_lease_us = $3
WHERE node_id = $1
