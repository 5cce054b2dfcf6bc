-- All lines of one invoice, in one round trip.
INSERT INTO invoice_line (tenant_id, invoice_id, position, key, card, meter, kind, period_start, period_end,
                          base_quantity, quantity, unit, unit_price, amount, tax_code, tax_rate)
SELECT $1, $2, l.position, l.key, l.card, l.meter, l.kind, l.period_start, l.period_end,
       l.base_quantity, l.quantity, l.unit, l.unit_price, l.amount, l.tax_code, l.tax_rate
FROM unnest($3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[],
            $10::numeric[], $11::numeric[], $12::text[], $13::numeric[], $14::numeric[], $15::text[], $16::numeric[])
     AS l (position, key, card, meter, kind, period_start, period_end, base_quantity, quantity, unit, unit_price,
           amount, tax_code, tax_rate)
