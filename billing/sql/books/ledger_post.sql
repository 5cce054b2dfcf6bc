-- One transaction with all its entries, in one round trip.
WITH booked AS (
    INSERT INTO ledger_transaction (transaction_id, tenant_id, kind, key, at, entries, about)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
)
INSERT INTO ledger_entry (transaction_id, tenant_id, position, account, detail, item_id, currency, amount)
SELECT $1, $2, e.position::integer, e.account, e.detail, e.item_id, e.currency, e.amount
FROM unnest($8::text[], $9::text[], $10::uuid[], $11::text[], $12::numeric[])
     WITH ORDINALITY AS e (account, detail, item_id, currency, amount, position)
