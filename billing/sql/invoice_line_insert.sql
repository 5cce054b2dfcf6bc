-- All lines of one invoice, in one round trip.
INSERT INTO invoice_line (tenant_id, invoice_id, position, key, meter, tier, period_start, period_end, base_quantity,
                          quantity, unit, unit_price, amount)
SELECT $1, $2, l.position, l.key, l.meter, l.tier, l.period_start, l.period_end, l.base_quantity,
       l.quantity, l.unit, l.unit_price, l.amount
FROM unnest($3::integer[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::numeric[],
            $10::numeric[], $11::text[], $12::numeric[], $13::numeric[])
     AS l (position, key, meter, tier, period_start, period_end, base_quantity, quantity, unit, unit_price, amount)
