-- The last reading of life $3 before $5. Its head says that there is none before $4.
SELECT '' AS device, r.observed_at, r.epoch, r.born_at,
       r.is_present, r.provisioned_kib_s
FROM visible_volume_reading r
WHERE r.volume_id = $1 AND $2::text = '' AND r.epoch = $3
  AND $4 <= r.observed_at AND r.observed_at < $5
ORDER BY r.observed_at DESC, r.provisioned_kib_s DESC
LIMIT 1
