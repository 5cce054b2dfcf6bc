-- The last reading of life $3 before $5. Its head says that there is none before $4.
SELECT r.target AS device, r.observed_at, r.epoch, r.born_at,
       r.read_bytes, r.write_bytes, r.read_ops, r.write_ops
FROM visible_disk_reading r
WHERE r.instance_id = $1 AND r.target = $2 AND r.epoch = $3
  AND $4 <= r.observed_at AND r.observed_at < $5
ORDER BY r.observed_at DESC, r.read_bytes DESC, r.write_bytes DESC, r.read_ops DESC, r.write_ops DESC
LIMIT 1
