-- What the rules ($1 what they look at, $2 patterns, $3 names, $4 values, the first one first) give what is there, where it
-- is not what a rule gave last. Holds from $6 on; for what is seen for the first time since $5 from the window (of $7
-- seconds) in which it was.
WITH rule AS (
    SELECT r.what, r.pattern, r.name, r.value, r.n
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS r (what, pattern, name, value, n)
), there AS MATERIALIZED (
    SELECT 'volume' AS kind, v.volume_id AS resource, '' AS device, v.first_seen_at, 'pool' AS what, v.pool AS called
    FROM volume v
    WHERE v.gone_at IS NULL
    UNION ALL
    SELECT 'instance', i.instance_id, '', i.first_seen_at, x.what, x.called
    FROM instance i
    JOIN node n ON n.node_id = i.node_id
    CROSS JOIN LATERAL (VALUES ('instance', i.name), ('node', n.name), ('image', i.image)) AS x (what, called)
    WHERE i.gone_at IS NULL
    UNION ALL
    SELECT 'nic', c.instance_id, c.device, c.first_seen_at, 'network', c.network
    FROM instance_nic c
    JOIN instance i ON i.instance_id = c.instance_id
    WHERE i.gone_at IS NULL
), wanted AS (
    SELECT DISTINCT ON (t.kind, t.resource, t.device, r.name)
           t.kind, t.resource, t.device, r.name, r.value, t.first_seen_at
    FROM there t
    JOIN rule r ON r.what = t.what AND t.called LIKE r.pattern
    ORDER BY t.kind, t.resource, t.device, r.name, r.n
), known AS (
    SELECT DISTINCT ON (d.kind, d.resource, d.device, d.name) d.kind, d.resource, d.device, d.name, d.value
    FROM resource_dimension d
    WHERE d.is_rule
    ORDER BY d.kind, d.resource, d.device, d.name, d.valid_from DESC, d.change_id DESC
)
INSERT INTO resource_dimension (kind, resource, device, name, value, valid_from, is_rule, author, recorded_at)
SELECT x.kind, x.resource, x.device, x.name, x.value, x.valid_from, true, $8, $9
FROM (
    SELECT w.kind, w.resource, w.device, w.name, w.value,
           CASE WHEN k.resource IS NULL AND $5 <= w.first_seen_at
                THEN date_bin(make_interval(secs => $7::integer), w.first_seen_at, TIMESTAMPTZ '2000-01-01 00:00:00Z')
                ELSE $6::timestamptz END AS valid_from
    FROM wanted w
    LEFT JOIN known k ON k.kind = w.kind AND k.resource = w.resource AND k.device = w.device AND k.name = w.name
    WHERE k.value IS DISTINCT FROM w.value
    UNION ALL
    SELECT k.kind, k.resource, k.device, k.name, NULL, $6::timestamptz
    FROM known k
    WHERE k.value IS NOT NULL
      AND EXISTS (SELECT FROM there t WHERE t.kind = k.kind AND t.resource = k.resource AND t.device = k.device)
      AND NOT EXISTS (SELECT FROM wanted w WHERE w.kind = k.kind AND w.resource = k.resource AND w.device = k.device
                                             AND w.name = k.name)
) x
ORDER BY x.kind, x.resource, x.device, x.name
