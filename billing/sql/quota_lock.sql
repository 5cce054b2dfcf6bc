-- One admission of a tenant at a time: whoever comes second counts what the first one was admitted.
SELECT name
FROM tenant
WHERE tenant_id = $1
FOR NO KEY UPDATE
