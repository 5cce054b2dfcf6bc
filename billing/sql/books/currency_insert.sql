-- The tenant is locked, so that two do not take the same revision.
INSERT INTO billing_currency (tenant_id, revision, valid_from, currency, recorded_at)
SELECT $1, COALESCE(max(b.revision), 0) + 1, $2, $3, $4
FROM billing_currency b
WHERE b.tenant_id = $1
