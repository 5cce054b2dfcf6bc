UPDATE invoice
SET status = 'void', settled_at = $2
WHERE invoice_id = $1 AND status = 'issued'
