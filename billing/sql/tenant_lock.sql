-- One invoice of a tenant at a time: whoever comes second finds what the first one issued.
SELECT t.name, COALESCE(a.payment_days, 14) AS payment_days
FROM tenant t
LEFT JOIN billing_account a ON a.tenant_id = t.tenant_id
WHERE t.tenant_id = $1
FOR NO KEY UPDATE OF t
