-- Periods that were closed with nothing and would come to something now, the newest first. $2: those for which there is an
-- invoice by now.
SELECT e.tenant_id, t.name AS tenant, e.period_start, e.period_end, e.currency, e.total_now, e.checked_at
FROM empty_period_recheck e
JOIN tenant t ON t.tenant_id = e.tenant_id
WHERE e.total_now IS NOT NULL
  AND $2 = EXISTS (SELECT FROM invoice i
                   WHERE i.tenant_id = e.tenant_id
                     AND tstzrange(i.period_start, i.period_end) && tstzrange(e.period_start, e.period_end)
                     AND i.status <> 'void' AND i.kind <> 'credit_note' AND i.replaced_by_id IS NULL)
ORDER BY e.period_start DESC, t.name
LIMIT $1
