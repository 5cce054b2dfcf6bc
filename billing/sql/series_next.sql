-- Takes the next number. The row stays locked until the transaction ends.
INSERT INTO invoice_series AS s (series, kind, last_number)
VALUES ($1, $2, 1)
ON CONFLICT (series) DO UPDATE SET last_number = s.last_number + 1
RETURNING last_number
