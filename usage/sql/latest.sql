SELECT i.name, r.instance_id, r.observed_at, r.epoch, r.born_at, r.state, r.vcpus, r.memory_kib, r.cpu_ns,
       r.running_ms, r.vcpu_ms, r.memory_kib_s
FROM instance i
CROSS JOIN LATERAL (
    SELECT v.instance_id, v.observed_at, v.epoch, v.born_at, v.state, v.vcpus, v.memory_kib, v.cpu_ns, v.running_ms,
           v.vcpu_ms, v.memory_kib_s
    FROM visible_instance_reading v
    WHERE v.instance_id = i.instance_id AND v.observed_at = i.last_seen_at
    LIMIT 1
) r
WHERE i.gone_at IS NULL
ORDER BY i.name, i.instance_id
