-- Who holds a certificate, whether it is in force, and what is known of its runs. $2: the run that asks.
SELECT n.node_id, n.name, n.state, n.last_heard_at, n.run_id, n.run_lease_us, n.rival_run_id, n.rival_at,
       c.issued_at, c.expires_at, c.revoked_at, c.revoked_because,
       EXISTS (SELECT FROM node_run_barred b WHERE b.node_id = n.node_id AND b.run_id = $2) AS is_barred
FROM node_certificate c
JOIN node n ON n.node_id = c.node_id
WHERE c.fingerprint = $1
FOR UPDATE OF n
