-- Letters and disputes, the newest first.
SELECT x.at, x.tenant, x.number, x.level, x.open, x.fee, x.currency, x.reason, x.held_by
FROM (SELECT l.ordered_at AS at, t.name AS tenant, i.number, l.level, l.open, l.fee, i.currency, NULL::text AS reason,
             NULL::text AS held_by
      FROM dunning_letter l
      JOIN invoice i ON i.invoice_id = l.invoice_id
      JOIN tenant t ON t.tenant_id = l.tenant_id
      UNION ALL
      SELECT h.held_at, t.name, i.number, NULL, NULL, NULL, i.currency, h.reason, h.held_by
      FROM dunning_hold h
      JOIN invoice i ON i.invoice_id = h.invoice_id
      JOIN tenant t ON t.tenant_id = h.tenant_id) AS x
ORDER BY x.at DESC, x.number
LIMIT $1
