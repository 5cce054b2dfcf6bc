-- The last reading before $2 and the first one from $3 on, none of which lie near. Its head says that they lie in
-- [$5, $6].
SELECT r.mac AS device, r.observed_at, r.epoch, r.born_at,
       r.rx_bytes, r.tx_bytes
FROM visible_nic_reading r
WHERE r.instance_id = $1 AND r.mac = $4 AND $5 <= r.observed_at AND r.observed_at <= $6
  AND (r.observed_at = (SELECT max(b.observed_at) FROM visible_nic_reading b
                        WHERE b.instance_id = $1 AND b.mac = $4 AND b.observed_at < $2
                          AND $5 <= b.observed_at AND b.observed_at <= $6)
       OR r.observed_at = (SELECT min(a.observed_at) FROM visible_nic_reading a
                           WHERE a.instance_id = $1 AND a.mac = $4 AND $3 <= a.observed_at
                             AND $5 <= a.observed_at AND a.observed_at <= $6))
