-- Periods that were closed without an invoice, because nothing was used that has a price: months of billing runs, from $1 on, and
-- what was corrected to nothing, of periods that ended at $2 or later. From behind ($3, $4) on.
SELECT c.tenant_id, t.name AS tenant, t.time_zone, c.month, c.period_start, c.period_end, c.key
FROM (SELECT DISTINCT i.tenant_id, r.period AS month, NULL::timestamptz AS period_start, NULL::timestamptz AS period_end,
                      r.period AS key
      FROM billing_run_item i
      JOIN billing_run r ON r.run_id = i.run_id
      WHERE i.state = 'nothing' AND $1 <= r.period
      UNION ALL
      SELECT o.tenant_id, NULL, o.period_start, o.period_end, o.invoice_id::text
      FROM invoice o
      JOIN invoice n ON n.invoice_id = o.replaced_by_id AND n.kind = 'credit_note'
      WHERE $2 <= o.period_end) AS c
JOIN tenant t ON t.tenant_id = c.tenant_id
WHERE (c.tenant_id, c.key) > ($3::uuid, $4::text)
ORDER BY c.tenant_id, c.key
LIMIT $5
