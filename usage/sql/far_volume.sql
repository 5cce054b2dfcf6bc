-- The last reading before $2 and the first one from $3 on, none of which lie near. Its head says that they lie in
-- [$5, $6].
SELECT '' AS device, r.observed_at, r.epoch, r.born_at,
       r.is_present, r.provisioned_kib_s
FROM visible_volume_reading r
WHERE r.volume_id = $1 AND $4::text = '' AND $5 <= r.observed_at AND r.observed_at <= $6
  AND (r.observed_at = (SELECT max(b.observed_at) FROM visible_volume_reading b
                        WHERE b.volume_id = $1 AND b.observed_at < $2
                          AND $5 <= b.observed_at AND b.observed_at <= $6)
       OR r.observed_at = (SELECT min(a.observed_at) FROM visible_volume_reading a
                           WHERE a.volume_id = $1 AND $3 <= a.observed_at
                             AND $5 <= a.observed_at AND a.observed_at <= $6))
