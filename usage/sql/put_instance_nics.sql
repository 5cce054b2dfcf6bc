-- The NICs ($3 of which instance, $4 MACs, $5 networks) of instances ($1) that were described at $2, unless a later
-- description is known. The first NICs of an instance are as old as it is.
WITH told AS (
    SELECT i.instance_id,
           CASE WHEN EXISTS (SELECT FROM instance_nic n WHERE n.instance_id = i.instance_id)
                THEN $2::timestamptz ELSE i.first_seen_at END AS first_seen_at
    FROM instance i
    WHERE i.instance_id = ANY($1::uuid[]) AND COALESCE(i.facts_at, $2) <= $2
), plugged AS (
    SELECT DISTINCT ON (x.instance_id, x.device) x.instance_id, x.device, x.network
    FROM unnest($3::uuid[], $4::text[], $5::text[]) AS x (instance_id, device, network)
    ORDER BY x.instance_id, x.device
), unplugged AS (
    DELETE FROM instance_nic n
    USING told t
    WHERE n.instance_id = t.instance_id
      AND NOT EXISTS (SELECT FROM plugged p WHERE p.instance_id = n.instance_id AND p.device = n.device)
)
INSERT INTO instance_nic (instance_id, device, network, first_seen_at)
SELECT p.instance_id, p.device, p.network, t.first_seen_at
FROM plugged p
JOIN told t ON t.instance_id = p.instance_id
ON CONFLICT (instance_id, device) DO UPDATE SET network = excluded.network
