-- Who pays: the claimant where nobody does yet, otherwise whoever does.
WITH owner AS (
    SELECT tenant_id FROM instance_tenant WHERE instance_id = $1 AND until IS NULL
), claimed AS (
    INSERT INTO instance_tenant (instance_id, tenant_id, since)
    SELECT $1, $2, LEAST($3, (SELECT first_seen_at FROM instance WHERE instance_id = $1))
    WHERE NOT EXISTS (SELECT FROM owner)
    RETURNING tenant_id
)
SELECT tenant_id FROM owner
UNION ALL
SELECT tenant_id FROM claimed
