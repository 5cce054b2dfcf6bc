-- Of these invoices, those on which something is owed again are not paid any more.
UPDATE invoice i
SET status = 'issued', settled_at = NULL
WHERE i.invoice_id = ANY ($1::uuid[])
  AND i.status = 'paid'
  AND EXISTS (SELECT FROM ledger_entry e
              WHERE e.item_id = i.invoice_id AND e.account = 'receivable'
              HAVING sum(e.amount) <> 0)
