-- Prepaid tenants, or one tenant: what is in the wallet, and what of it is spent already without being invoiced: the drafts of
-- the running month and of the last one, as long as nothing was issued for them.
SELECT t.tenant_id, t.name AS tenant, a.mode, a.low_balance, w.currency, COALESCE(w.paid, 0) AS paid,
       COALESCE(w.held, 0) AS held, COALESCE(d.spent, 0) AS spent, d.computed_at,
       (SELECT l.since FROM wallet_warning l WHERE l.tenant_id = t.tenant_id AND l.kind = 'low') AS low_since,
       e.since AS empty_since, e.stopped_at
FROM tenant t
JOIN billing_account a ON a.tenant_id = t.tenant_id
LEFT JOIN wallet_warning e ON e.tenant_id = t.tenant_id AND e.kind = 'empty'
CROSS JOIN LATERAL (
    SELECT COALESCE(a.currency,
                    (SELECT d.currency FROM draft d WHERE d.tenant_id = t.tenant_id ORDER BY d.period_start DESC LIMIT 1),
                    (SELECT b.currency FROM ledger_balance b
                     WHERE b.tenant_id = t.tenant_id AND b.account = 'wallet' ORDER BY abs(b.amount) DESC LIMIT 1)) AS code
) AS c
CROSS JOIN LATERAL (
    SELECT c.code AS currency, -sum(b.amount) AS paid, -sum(b.amount) FILTER (WHERE b.account = 'held') AS held
    FROM ledger_balance b
    WHERE b.tenant_id = t.tenant_id AND b.account IN ('wallet', 'held') AND b.currency = c.code
) AS w
CROSS JOIN LATERAL (
    SELECT sum(d.total) AS spent, max(d.computed_at) AS computed_at
    FROM draft d
    WHERE d.tenant_id = t.tenant_id AND d.currency = c.code AND $2 < d.period_end
      AND NOT EXISTS (SELECT FROM invoice i
                      WHERE i.tenant_id = d.tenant_id AND i.period_start = d.period_start AND i.number IS NOT NULL
                        AND i.status <> 'void')
) AS d
WHERE ($1::uuid IS NULL AND a.mode = 'prepaid' OR t.tenant_id = $1)
  AND w.currency IS NOT NULL
ORDER BY t.tenant_id
