-- A rate that is there already stays.
INSERT INTO exchange_rate (from_currency, to_currency, valid_from, rate, source, loaded_at)
SELECT r.from_currency, r.to_currency, r.valid_from, r.rate, r.source, $6
FROM unnest($1::text[], $2::text[], $3::date[], $4::numeric[], $5::text[])
     AS r (from_currency, to_currency, valid_from, rate, source)
ON CONFLICT DO NOTHING
