-- An invoice on which nothing was ever owed is paid without a payment: before it is void, it is not paid any more.
UPDATE invoice
SET status = 'issued', settled_at = NULL
WHERE invoice_id = $1 AND status = 'paid' AND total <= 0
