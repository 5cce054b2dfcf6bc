-- The row of an instance has its latest reading. It is for the tenant to see that held the instance at that instant.
SELECT i.name, i.instance_id, i.last_seen_at AS observed_at, i.last_epoch AS epoch, i.last_born_at AS born_at, i.state,
       i.last_vcpus AS vcpus, i.last_memory_kib AS memory_kib, i.last_cpu_ns AS cpu_ns,
       i.last_running_ms AS running_ms, i.last_vcpu_ms AS vcpu_ms, i.last_memory_kib_s AS memory_kib_s
FROM instance i
WHERE i.gone_at IS NULL AND i.last_epoch IS NOT NULL
  AND ($1::uuid IS NULL OR EXISTS (
      SELECT FROM instance_tenant h
      WHERE h.instance_id = i.instance_id AND h.tenant_id = $1
        AND h.since <= i.last_seen_at AND (h.until IS NULL OR i.last_seen_at < h.until)))
ORDER BY i.name, i.instance_id
