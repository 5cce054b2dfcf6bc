-- The letters about an invoice that cost something.
SELECT l.letter_id
FROM dunning_letter l
WHERE l.invoice_id = $1 AND 0 < l.fee
ORDER BY l.level
