-- The first and the last reading of each epoch in [$2, $3).
WITH span AS (
    SELECT r.instance_id AS resource, r.mac AS device, r.epoch, min(r.observed_at) AS first_observed_at,
           max(r.observed_at) AS last_observed_at, count(*) AS readings
    FROM visible_nic_reading r
    WHERE r.instance_id = $1 AND $2 <= r.observed_at AND r.observed_at < $3
    GROUP BY 1, 2, 3
)
SELECT s.resource, s.device, s.epoch, s.first_observed_at, s.readings, r.born_at, r.observed_at,
       r.rx_bytes, r.tx_bytes
FROM span s
JOIN visible_nic_reading r
    ON r.instance_id = s.resource AND r.mac = s.device AND r.epoch = s.epoch
    -- The bounds again: or every day's partition is planned and looked into.
    AND $2 <= r.observed_at AND r.observed_at < $3
    AND (r.observed_at = s.first_observed_at OR r.observed_at = s.last_observed_at)
ORDER BY s.resource, s.device, s.first_observed_at, s.epoch, r.observed_at
