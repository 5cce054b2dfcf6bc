-- Plain bounds, so that the planner leaves out all other days' partitions.
SELECT '' AS device, r.observed_at, r.epoch, r.born_at,
       r.state, r.cpu_ns, r.running_ms, r.vcpu_ms, r.memory_kib_s
FROM visible_instance_reading r
WHERE r.instance_id = $1 AND $2 <= r.observed_at AND r.observed_at <= $3
