-- Only what is issued can be settled; anything else changes no row.
UPDATE invoice
SET status = $2, settled_at = $3
WHERE number = $1 AND status = 'issued'
