-- The last reading before $2 and the first one from $3 on, none of which lie near. Its head says that they lie in
-- [$5, $6].
SELECT '' AS device, r.observed_at, r.epoch, r.born_at,
       r.state, r.cpu_ns, r.running_ms, r.vcpu_ms, r.memory_kib_s
FROM visible_instance_reading r
WHERE r.instance_id = $1 AND $4::text = '' AND $5 <= r.observed_at AND r.observed_at <= $6
  AND (r.observed_at = (SELECT max(b.observed_at) FROM visible_instance_reading b
                        WHERE b.instance_id = $1 AND b.observed_at < $2
                          AND $5 <= b.observed_at AND b.observed_at <= $6)
       OR r.observed_at = (SELECT min(a.observed_at) FROM visible_instance_reading a
                           WHERE a.instance_id = $1 AND $3 <= a.observed_at
                             AND $5 <= a.observed_at AND a.observed_at <= $6))
