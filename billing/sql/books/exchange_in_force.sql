-- The rate of a pair that is in force on a day.
SELECT from_currency, to_currency, valid_from, rate, source
FROM exchange_rate
WHERE from_currency = $1 AND to_currency = $2 AND valid_from <= $3
ORDER BY valid_from DESC
LIMIT 1
