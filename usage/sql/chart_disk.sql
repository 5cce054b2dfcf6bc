-- The last reading of each life of each disk in each step of $4 microseconds.
SELECT DISTINCT ON (step, r.target, r.epoch)
       (EXTRACT(EPOCH FROM r.observed_at) * 1000000)::bigint / $4::bigint AS step, r.target AS device, r.observed_at,
       r.epoch, ARRAY[r.read_bytes, r.write_bytes] AS registers
FROM visible_disk_reading r
WHERE r.instance_id = $1 AND $2 <= r.observed_at AND r.observed_at < $3
ORDER BY step, r.target, r.epoch, r.observed_at DESC
