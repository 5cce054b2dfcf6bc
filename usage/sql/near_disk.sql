-- Plain bounds, so that the planner leaves out all other days' partitions.
SELECT r.target AS device, r.observed_at, r.epoch, r.born_at,
       r.read_bytes, r.write_bytes, r.read_ops, r.write_ops
FROM visible_disk_reading r
WHERE r.instance_id = $1 AND $2 <= r.observed_at AND r.observed_at <= $3
