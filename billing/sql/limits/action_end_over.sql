-- What is over by itself: its month, or its allowance.
UPDATE limit_action AS l
SET ended_at = $1,
    ended_because = CASE WHEN l.period_end <= $1 THEN 'the month is over' ELSE 'the allowance was removed' END
FROM allowance a
WHERE l.ended_at IS NULL AND a.tenant_id = l.tenant_id AND a.name = l.name
    AND (l.period_end <= $1 OR a.removed_at IS NOT NULL)
