-- What a tenant has paid in advance, in each currency in which it ever did: all of it, and what of it is reserved.
SELECT b.currency, -sum(b.amount) AS paid, COALESCE(-sum(b.amount) FILTER (WHERE b.account = 'held'), 0) AS held
FROM ledger_balance b
WHERE b.tenant_id = $1 AND b.account IN ('wallet', 'held')
GROUP BY b.currency
ORDER BY b.currency
