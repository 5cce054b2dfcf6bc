-- Readings in [$2, $3), the last one before and the first one after.
SELECT r.observed_at, r.epoch, r.born_at, r.state, r.cpu_ns, r.running_ms, r.vcpu_ms, r.memory_kib_s
FROM visible_instance_reading r
WHERE r.instance_id = $1
  AND COALESCE((SELECT max(b.observed_at) FROM visible_instance_reading b
                WHERE b.instance_id = $1 AND b.observed_at < $2), $2) <= r.observed_at
  AND r.observed_at <= COALESCE((SELECT min(a.observed_at) FROM visible_instance_reading a
                                 WHERE a.instance_id = $1 AND $3 <= a.observed_at), $3)
