-- What each register rose by, over all epochs. A register that fell counts as if it had stood still.
WITH top AS (
    -- The highest value of each epoch, and whether anybody knows its birth.
    SELECT r.instance_id AS resource, r.target AS device, r.epoch, bool_or(r.born_at IS NOT NULL) AS is_born,
           max(r.read_bytes) AS read_bytes,
           max(r.write_bytes) AS write_bytes,
           max(r.read_ops) AS read_ops,
           max(r.write_ops) AS write_ops
    FROM visible_disk_reading r
    WHERE $1::uuid IS NULL OR r.instance_id = $1
    GROUP BY 1, 2, 3
), baseline AS (
    -- Where the birth is unknown, only what came after the first reading counts.
    SELECT DISTINCT ON (resource, device, epoch)
           r.instance_id AS resource, r.target AS device, r.epoch, r.read_bytes, r.write_bytes, r.read_ops, r.write_ops
    FROM visible_disk_reading r
    WHERE r.born_at IS NULL AND ($1::uuid IS NULL OR r.instance_id = $1)
    ORDER BY resource, device, epoch, r.observed_at, r.read_bytes, r.write_bytes, r.read_ops, r.write_ops
)
SELECT t.resource, t.device,
       sum(t.read_bytes - COALESCE(b.read_bytes, 0))::bigint AS read_bytes,
       sum(t.write_bytes - COALESCE(b.write_bytes, 0))::bigint AS write_bytes,
       sum(t.read_ops - COALESCE(b.read_ops, 0))::bigint AS read_ops,
       sum(t.write_ops - COALESCE(b.write_ops, 0))::bigint AS write_ops
FROM top t
LEFT JOIN baseline b
    ON NOT t.is_born AND b.resource = t.resource AND b.device = t.device AND b.epoch = t.epoch
GROUP BY t.resource, t.device
