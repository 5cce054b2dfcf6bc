INSERT INTO node (node_id, name, boot_id, last_observed_at, last_seq, last_heard_at, clock_error_us, clock_error_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $7::bigint IS NOT NULL THEN $6::timestamptz END)
ON CONFLICT (node_id) DO UPDATE SET
    name = CASE WHEN node.last_seq <= EXCLUDED.last_seq THEN EXCLUDED.name ELSE node.name END,
    boot_id = CASE WHEN node.last_seq <= EXCLUDED.last_seq THEN EXCLUDED.boot_id ELSE node.boot_id END,
    last_observed_at = GREATEST(node.last_observed_at, EXCLUDED.last_observed_at),
    last_seq = GREATEST(node.last_seq, EXCLUDED.last_seq),
    last_heard_at = EXCLUDED.last_heard_at,
    clock_error_us = COALESCE(EXCLUDED.clock_error_us, node.clock_error_us),
    clock_error_at = COALESCE(EXCLUDED.clock_error_at, node.clock_error_at)
RETURNING last_seq
