-- Two who apply terms of a tenant at once do so one after the other.
SELECT name
FROM tenant
WHERE tenant_id = $1
FOR NO KEY UPDATE
