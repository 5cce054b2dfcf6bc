-- What a tenant owed (below zero: had paid) before an instant, in each currency.
SELECT e.currency, sum(e.amount) AS amount
FROM ledger_entry e
JOIN ledger_transaction t ON t.transaction_id = e.transaction_id
WHERE e.tenant_id = $1 AND e.account IN ('receivable', 'credit', 'wallet', 'held') AND t.at < $2
GROUP BY e.currency
ORDER BY e.currency
