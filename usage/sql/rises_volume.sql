-- What each register rose by, over all epochs. A register that fell counts as if it had stood still.
WITH top AS (
    -- The highest value of each epoch, and whether anybody knows its birth.
    SELECT r.volume_id AS resource, '' AS device, r.epoch, bool_or(r.born_at IS NOT NULL) AS is_born,
           max(r.provisioned_kib_s) AS provisioned_kib_s
    FROM visible_volume_reading r
    WHERE $1::uuid IS NULL OR r.volume_id = $1
    GROUP BY 1, 2, 3
), baseline AS (
    -- Where the birth is unknown, only what came after the first reading counts.
    SELECT DISTINCT ON (resource, device, epoch)
           r.volume_id AS resource, '' AS device, r.epoch, r.provisioned_kib_s
    FROM visible_volume_reading r
    WHERE r.born_at IS NULL AND ($1::uuid IS NULL OR r.volume_id = $1)
    ORDER BY resource, device, epoch, r.observed_at, r.provisioned_kib_s
)
SELECT t.resource, t.device,
       sum(t.provisioned_kib_s - COALESCE(b.provisioned_kib_s, 0))::bigint AS provisioned_kib_s
FROM top t
LEFT JOIN baseline b
    ON NOT t.is_born AND b.resource = t.resource AND b.device = t.device AND b.epoch = t.epoch
GROUP BY t.resource, t.device
