-- Plain bounds, so that the planner leaves out all other days' partitions.
SELECT '' AS device, r.observed_at, r.epoch, r.born_at,
       r.is_present, r.provisioned_kib_s
FROM visible_volume_reading r
WHERE r.volume_id = $1 AND $2 <= r.observed_at AND r.observed_at <= $3
