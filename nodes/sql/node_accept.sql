-- The clock of a node as its latest batch showed it.
UPDATE node
SET clock_error_us = $2, clock_error_at = $3
WHERE node_id = $1
