-- Unless it is what holds already from $6 on, by a person's word.
WITH known AS (
    SELECT d.change_id, d.kind, d.resource, d.device, d.name, d.value, d.valid_from, d.is_rule, d.author, d.recorded_at
    FROM resource_dimension d
    WHERE d.kind = $1 AND d.resource = $2 AND d.device = $3 AND d.name = $4 AND d.valid_from <= $6 AND NOT d.is_rule
    ORDER BY d.valid_from DESC, d.change_id DESC
    LIMIT 1
), put AS (
    INSERT INTO resource_dimension (kind, resource, device, name, value, valid_from, is_rule, author, recorded_at)
    SELECT $1, $2, $3, $4, $5, $6, false, $7, $8
    WHERE NOT EXISTS (SELECT FROM known k WHERE k.value IS NOT DISTINCT FROM $5)
    RETURNING change_id, kind, resource, device, name, value, valid_from, is_rule, author, recorded_at
)
SELECT change_id, kind, resource, device, name, value, valid_from, is_rule, author, recorded_at FROM put
UNION ALL
SELECT change_id, kind, resource, device, name, value, valid_from, is_rule, author, recorded_at
FROM known
WHERE NOT EXISTS (SELECT FROM put)
