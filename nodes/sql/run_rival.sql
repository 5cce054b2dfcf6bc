UPDATE node
SET rival_run_id = $2, rival_at = $3
WHERE node_id = $1
