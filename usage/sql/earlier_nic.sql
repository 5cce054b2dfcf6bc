-- The last reading of life $3 before $5. Its head says that there is none before $4.
SELECT r.mac AS device, r.observed_at, r.epoch, r.born_at,
       r.rx_bytes, r.tx_bytes
FROM visible_nic_reading r
WHERE r.instance_id = $1 AND r.mac = $2 AND r.epoch = $3
  AND $4 <= r.observed_at AND r.observed_at < $5
ORDER BY r.observed_at DESC, r.rx_bytes DESC, r.tx_bytes DESC
LIMIT 1
