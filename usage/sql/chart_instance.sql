-- The last reading of each life in each step of $4 microseconds.
SELECT DISTINCT ON (step, r.epoch)
       (EXTRACT(EPOCH FROM r.observed_at) * 1000000)::bigint / $4::bigint AS step, '' AS device, r.observed_at, r.epoch,
       ARRAY[r.cpu_ns, r.memory_kib] AS registers
FROM visible_instance_reading r
WHERE r.instance_id = $1 AND $2 <= r.observed_at AND r.observed_at < $3
ORDER BY step, r.epoch, r.observed_at DESC
