-- The newest first, from behind ($3, $4, $5) on.
SELECT from_currency, to_currency, valid_from, rate, source
FROM exchange_rate
WHERE ($1::text IS NULL OR from_currency = $1)
  AND ($2::text IS NULL OR to_currency = $2)
  AND ($3::date IS NULL OR (valid_from, from_currency, to_currency) < ($3, $4::text, $5::text))
ORDER BY valid_from DESC, from_currency DESC, to_currency DESC
LIMIT $6
