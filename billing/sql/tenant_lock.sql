-- One invoice of a tenant at a time: whoever comes second finds what the first one issued.
SELECT name, display_name, address, tax_number, time_zone
FROM tenant
WHERE tenant_id = $1
FOR NO KEY UPDATE
