-- What each register rose by, over all epochs. A register that fell counts as if it had stood still.
WITH top AS (
    -- The highest value of each epoch, and whether anybody knows its birth.
    SELECT r.instance_id AS resource, r.mac AS device, r.epoch, bool_or(r.born_at IS NOT NULL) AS is_born,
           max(r.rx_bytes) AS rx_bytes,
           max(r.tx_bytes) AS tx_bytes
    FROM visible_nic_reading r
    WHERE $1::uuid IS NULL OR r.instance_id = $1
    GROUP BY 1, 2, 3
), baseline AS (
    -- Where the birth is unknown, only what came after the first reading counts.
    SELECT DISTINCT ON (resource, device, epoch)
           r.instance_id AS resource, r.mac AS device, r.epoch, r.rx_bytes, r.tx_bytes
    FROM visible_nic_reading r
    WHERE r.born_at IS NULL AND ($1::uuid IS NULL OR r.instance_id = $1)
    ORDER BY resource, device, epoch, r.observed_at, r.rx_bytes, r.tx_bytes
)
SELECT t.resource, t.device,
       sum(t.rx_bytes - COALESCE(b.rx_bytes, 0))::bigint AS rx_bytes,
       sum(t.tx_bytes - COALESCE(b.tx_bytes, 0))::bigint AS tx_bytes
FROM top t
LEFT JOIN baseline b
    ON NOT t.is_born AND b.resource = t.resource AND b.device = t.device AND b.epoch = t.epoch
GROUP BY t.resource, t.device
