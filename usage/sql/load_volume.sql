-- Readings in [$2, $3), the last one before and the first one after.
SELECT r.observed_at, r.epoch, r.born_at, r.is_present, r.provisioned_kib_s
FROM visible_volume_reading r
WHERE r.volume_id = $1
  AND COALESCE((SELECT max(b.observed_at) FROM visible_volume_reading b
                WHERE b.volume_id = $1 AND b.observed_at < $2), $2) <= r.observed_at
  AND r.observed_at <= COALESCE((SELECT min(a.observed_at) FROM visible_volume_reading a
                                 WHERE a.volume_id = $1 AND $3 <= a.observed_at), $3)
