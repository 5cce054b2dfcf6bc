-- What nobody held at some time in [$2, $3), unless it was gone by then: whatever no holder but the unassigned
-- tenant ($1) has all of it.
SELECT h.kind, h.resource
FROM reading_head h
WHERE h.kind IN ('instance', 'volume')
  AND NOT (h.is_gone AND h.last_observed_at < $2)
  AND NOT EXISTS (SELECT FROM instance_tenant t
                  WHERE t.instance_id = h.resource AND t.tenant_id <> $1 AND t.since <= $2
                    AND (t.until IS NULL OR $3 <= t.until))
  AND NOT EXISTS (SELECT FROM volume_tenant t
                  WHERE t.volume_id = h.resource AND t.tenant_id <> $1 AND t.since <= $2
                    AND (t.until IS NULL OR $3 <= t.until))
ORDER BY h.kind, h.resource
