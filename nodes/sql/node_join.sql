-- A node that joins, for the first time or again: whatever ran in its name before counts no more.
INSERT INTO node (node_id, name, joined_at, release)
VALUES ($1, $2, $3, $4)
ON CONFLICT (node_id) DO UPDATE SET
    name = EXCLUDED.name, joined_at = EXCLUDED.joined_at, release = EXCLUDED.release, state = 'active',
    removed_at = NULL, run_id = NULL, run_lease_us = NULL, rival_run_id = NULL, rival_at = NULL
