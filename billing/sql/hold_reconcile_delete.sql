-- What is not in the list ($1) and was not touched since the look ($2) is gone; what is in the making may take
-- until $3.
DELETE FROM instance_hold h
WHERE h.changed_at < CASE WHEN h.is_pending THEN $3::timestamptz ELSE $2::timestamptz END
  AND NOT EXISTS (SELECT FROM unnest($1::uuid[]) AS e (instance_id) WHERE e.instance_id = h.instance_id)
