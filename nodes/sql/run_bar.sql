-- Bars the rival of a run.
WITH barred AS (
    INSERT INTO node_run_barred (node_id, run_id, barred_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (node_id, run_id) DO NOTHING
)
UPDATE node
SET rival_run_id = NULL, rival_at = NULL
WHERE node_id = $1
