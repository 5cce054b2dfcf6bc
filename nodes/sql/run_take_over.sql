UPDATE node
SET last_heard_at = GREATEST(last_heard_at, $2), run_lease_us = $3, run_id = $4, rival_run_id = NULL, rival_at = NULL
WHERE node_id = $1
