UPDATE node
SET state = 'removed', removed_at = $2, run_id = NULL, run_lease_us = NULL, rival_run_id = NULL, rival_at = NULL
WHERE node_id = $1
