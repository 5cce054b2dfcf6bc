-- Of these invoices, those on which nothing is owed any more are paid.
UPDATE invoice i
SET status = 'paid', settled_at = greatest($2::timestamptz, i.issued_at)
WHERE i.invoice_id = ANY ($1::uuid[])
  AND i.status = 'issued'
  AND NOT EXISTS (SELECT FROM ledger_entry e
                  WHERE e.item_id = i.invoice_id AND e.account = 'receivable'
                  HAVING sum(e.amount) <> 0)
RETURNING i.invoice_id, i.number, i.currency, i.total
