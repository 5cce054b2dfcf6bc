-- For each device: readings in [$2, $3), the last one before and the first one after. The heads tell where these are
-- for devices that were detached before the span, so that nothing is searched for them.
SELECT d.device, r.observed_at, r.epoch, r.born_at, r.rx_bytes, r.tx_bytes
FROM (
    SELECT h.device,
           CASE WHEN h.last_observed_at < $2 THEN h.last_observed_at
                ELSE COALESCE((SELECT max(b.observed_at) FROM visible_nic_reading b
                               WHERE b.instance_id = $1 AND b.mac = h.device AND b.observed_at < $2), $2)
           END AS starts,
           CASE WHEN h.last_observed_at < $3 THEN $3
                ELSE COALESCE((SELECT min(a.observed_at) FROM visible_nic_reading a
                               WHERE a.instance_id = $1 AND a.mac = h.device AND $3 <= a.observed_at), $3)
           END AS ends
    FROM reading_head h
    WHERE h.resource = $1 AND h.kind = 'nic'
    OFFSET 0  -- keeps the bounds from being computed for each row
) d
JOIN visible_nic_reading r
    ON r.instance_id = $1 AND r.mac = d.device AND d.starts <= r.observed_at AND r.observed_at <= d.ends
