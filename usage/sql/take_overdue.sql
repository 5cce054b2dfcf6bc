-- Resources that have been silent since before $1, with closed windows (they end at or before $2) not marked yet.
-- What another transaction is bringing up to date is skipped: it is not silent.
WITH silent AS (
    SELECT resource, kind, device, GREATEST(last_observed_at, overdue_until) AS starts
    FROM reading_head
    WHERE NOT is_gone AND kind IN ('instance', 'volume')
      AND last_observed_at < $1
      AND GREATEST(last_observed_at, overdue_until) < $2
    ORDER BY resource, kind, device
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
UPDATE reading_head h SET overdue_until = $2
FROM silent s
WHERE h.resource = s.resource AND h.kind = s.kind AND h.device = s.device
RETURNING h.kind, h.resource, s.starts
