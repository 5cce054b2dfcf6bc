-- All of a node's that are in force.
UPDATE node_certificate
SET revoked_at = $2, revoked_because = $3
WHERE node_id = $1 AND revoked_at IS NULL
