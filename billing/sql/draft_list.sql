-- The periods that run. After a tenant's zone was changed there may be two of them: the later rating holds.
SELECT d.tenant_id, d.tenant, d.period_start, d.period_end, d.currency, d.subtotal, d.total, d.computed_at
FROM (SELECT DISTINCT ON (d.tenant_id) d.tenant_id, t.name AS tenant, d.period_start, d.period_end, d.currency,
             d.subtotal, d.total, d.computed_at
      FROM draft d
      JOIN tenant t ON t.tenant_id = d.tenant_id
      WHERE d.period_start <= $1 AND $1 < d.period_end
      ORDER BY d.tenant_id, d.computed_at DESC, d.period_start DESC) AS d
ORDER BY d.tenant
