-- A run says that it has ended.
UPDATE node
SET run_id = NULL, run_lease_us = NULL, rival_run_id = NULL, rival_at = NULL
WHERE node_id = $1 AND run_id = $2
