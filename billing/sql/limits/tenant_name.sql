SELECT name
FROM tenant
WHERE tenant_id = $1
