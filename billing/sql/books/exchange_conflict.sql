-- The first of these rates that is there already and is another one.
SELECT r.position, x.from_currency, x.to_currency, x.valid_from, x.rate, x.source
FROM unnest($1::text[], $2::text[], $3::date[], $4::numeric[])
     WITH ORDINALITY AS r (from_currency, to_currency, valid_from, rate, position)
JOIN exchange_rate x ON x.from_currency = r.from_currency AND x.to_currency = r.to_currency
                    AND x.valid_from = r.valid_from
WHERE x.rate <> r.rate
ORDER BY r.position
LIMIT 1
