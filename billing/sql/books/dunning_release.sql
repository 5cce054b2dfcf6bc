DELETE FROM dunning_hold h
USING invoice i
WHERE i.invoice_id = h.invoice_id AND i.number = $1
