-- What each register rose by, over all epochs. A register that fell counts as if it had stood still.
WITH top AS (
    -- The highest value of each epoch, and whether anybody knows its birth.
    SELECT r.instance_id AS resource, '' AS device, r.epoch, bool_or(r.born_at IS NOT NULL) AS is_born,
           max(r.cpu_ns) AS cpu_ns,
           max(r.running_ms) AS running_ms,
           max(r.vcpu_ms) AS vcpu_ms,
           max(r.memory_kib_s) AS memory_kib_s
    FROM visible_instance_reading r
    WHERE $1::uuid IS NULL OR r.instance_id = $1
    GROUP BY 1, 2, 3
), baseline AS (
    -- Where the birth is unknown, only what came after the first reading counts.
    SELECT DISTINCT ON (resource, device, epoch)
           r.instance_id AS resource, '' AS device, r.epoch, r.cpu_ns, r.running_ms, r.vcpu_ms, r.memory_kib_s
    FROM visible_instance_reading r
    WHERE r.born_at IS NULL AND ($1::uuid IS NULL OR r.instance_id = $1)
    ORDER BY resource, device, epoch, r.observed_at, r.cpu_ns, r.running_ms, r.vcpu_ms, r.memory_kib_s
)
SELECT t.resource, t.device,
       sum(t.cpu_ns - COALESCE(b.cpu_ns, 0))::bigint AS cpu_ns,
       sum(t.running_ms - COALESCE(b.running_ms, 0))::bigint AS running_ms,
       sum(t.vcpu_ms - COALESCE(b.vcpu_ms, 0))::bigint AS vcpu_ms,
       sum(t.memory_kib_s - COALESCE(b.memory_kib_s, 0))::bigint AS memory_kib_s
FROM top t
LEFT JOIN baseline b
    ON NOT t.is_born AND b.resource = t.resource AND b.device = t.device AND b.epoch = t.epoch
GROUP BY t.resource, t.device
