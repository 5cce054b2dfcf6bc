-- One day of one node, [$3, $4), of which $5 ms have passed. Processor time is the rise between readings that follow each
-- other in one life of the kernel. What the node had promised is what was used of it, summed by its tenants' days.
WITH readings AS MATERIALIZED (
    SELECT r.observed_at, r.cpus, r.memory_total_kib, r.memory_used_kib, r.storage_total_kib, r.storage_used_kib,
           r.cpu_busy_ms - lag(r.cpu_busy_ms) OVER life AS busy_ms,
           (EXTRACT(EPOCH FROM r.observed_at - lag(r.observed_at) OVER life) * 1000)::bigint AS passed_ms
    FROM visible_node_reading r
    WHERE r.node_id = $1 AND $3 <= r.observed_at AND r.observed_at < $4
    WINDOW life AS (PARTITION BY r.boot_id ORDER BY r.observed_at)
), last AS (
    SELECT cpus, memory_total_kib, storage_total_kib, storage_used_kib
    FROM readings
    ORDER BY observed_at DESC
    LIMIT 1
), used AS (
    SELECT COALESCE(sum(passed_ms) FILTER (WHERE 0 <= busy_ms), 0)::bigint AS observed_ms,
           COALESCE(sum(busy_ms) FILTER (WHERE 0 <= busy_ms), 0)::bigint AS cpu_busy_ms,
           avg(memory_used_kib)::bigint AS memory_used_kib_mean, max(memory_used_kib) AS memory_used_kib_max
    FROM readings
), promised AS (
    SELECT COALESCE(sum(d.quantity) FILTER (WHERE d.meter = 'vcpu_ms'), 0) AS vcpu_ms,
           COALESCE(sum(d.quantity) FILTER (WHERE d.meter = 'memory_kib_s'), 0) AS memory_kib_s,
           COALESCE(sum(d.quantity) FILTER (WHERE d.meter = 'provisioned_kib_s'), 0) AS provisioned_kib_s
    FROM tenant t
    JOIN usage_day d
        ON d.tenant_id = t.tenant_id AND d.day = $2 AND d.meter IN ('vcpu_ms', 'memory_kib_s', 'provisioned_kib_s')
    LEFT JOIN instance i ON i.instance_id = d.resource
    LEFT JOIN volume v ON v.volume_id = d.resource
    WHERE COALESCE(i.node_id, v.node_id) = $1
)
INSERT INTO node_day AS n (
    node_id, day, cpus, memory_total_kib, storage_total_kib, span_ms, observed_ms, cpu_busy_ms, memory_used_kib_mean,
    memory_used_kib_max, storage_used_kib_last, vcpu_ms, memory_kib_s, provisioned_kib_s, is_complete
)
SELECT $1, $2, l.cpus, l.memory_total_kib, l.storage_total_kib, $5, u.observed_ms, u.cpu_busy_ms,
       u.memory_used_kib_mean, u.memory_used_kib_max, l.storage_used_kib, p.vcpu_ms, p.memory_kib_s,
       p.provisioned_kib_s, $6
FROM last l, used u, promised p
ON CONFLICT (node_id, day) DO UPDATE SET
    cpus = EXCLUDED.cpus,
    memory_total_kib = EXCLUDED.memory_total_kib,
    storage_total_kib = EXCLUDED.storage_total_kib,
    span_ms = EXCLUDED.span_ms,
    observed_ms = EXCLUDED.observed_ms,
    cpu_busy_ms = EXCLUDED.cpu_busy_ms,
    memory_used_kib_mean = EXCLUDED.memory_used_kib_mean,
    memory_used_kib_max = EXCLUDED.memory_used_kib_max,
    storage_used_kib_last = EXCLUDED.storage_used_kib_last,
    vcpu_ms = EXCLUDED.vcpu_ms,
    memory_kib_s = EXCLUDED.memory_kib_s,
    provisioned_kib_s = EXCLUDED.provisioned_kib_s,
    is_complete = EXCLUDED.is_complete
