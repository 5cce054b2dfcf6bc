-- There is one automatic run for each month.
INSERT INTO billing_run (run_id, period, goal, origin, before_cutoff, asked_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (period) WHERE origin = 'automatic' DO UPDATE SET finished_at = NULL
RETURNING run_id
