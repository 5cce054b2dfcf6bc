-- By its id, or by what its method calls it.
WHERE p.payment_id = $1 OR (p.method = $2 AND p.reference = $3)
ORDER BY (p.payment_id = $1) DESC
LIMIT 1
