-- Plain bounds, so that the planner leaves out all other days' partitions.
SELECT r.mac AS device, r.observed_at, r.epoch, r.born_at,
       r.rx_bytes, r.tx_bytes
FROM visible_nic_reading r
WHERE r.instance_id = $1 AND $2 <= r.observed_at AND r.observed_at <= $3
