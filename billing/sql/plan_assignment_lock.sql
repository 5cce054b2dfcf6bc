-- One change at a time, and none while an invoice of the tenant is issued.
SELECT name, time_zone
FROM tenant
WHERE tenant_id = $1
FOR NO KEY UPDATE
