-- The last reading of life $3 before $5. Its head says that there is none before $4.
SELECT '' AS device, r.observed_at, r.epoch, r.born_at,
       r.state, r.cpu_ns, r.running_ms, r.vcpu_ms, r.memory_kib_s
FROM visible_instance_reading r
WHERE r.instance_id = $1 AND $2::text = '' AND r.epoch = $3
  AND $4 <= r.observed_at AND r.observed_at < $5
ORDER BY r.observed_at DESC, r.cpu_ns DESC, r.running_ms DESC, r.vcpu_ms DESC, r.memory_kib_s DESC
LIMIT 1
