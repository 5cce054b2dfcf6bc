-- The first day, in the tenant's zone, after all periods that were rated to an amount in another currency than $2 (NULL: whatever
-- the plan's may be then). No row: there are none.
SELECT (max(r.period_end) AT TIME ZONE t.time_zone + interval '1 day' - interval '1 microsecond')::date AS day
FROM tenant t
JOIN (SELECT d.tenant_id, d.period_end
      FROM draft d
      WHERE d.tenant_id = $1 AND (d.subtotal <> 0 OR d.total <> 0) AND d.currency IS DISTINCT FROM $2
      UNION ALL
      SELECT i.tenant_id, i.period_end
      FROM invoice i
      WHERE i.tenant_id = $1 AND i.currency IS DISTINCT FROM $2
        AND i.status <> 'void' AND i.kind <> 'credit_note' AND i.replaced_by_id IS NULL) AS r ON r.tenant_id = t.tenant_id
WHERE t.tenant_id = $1
GROUP BY t.time_zone
