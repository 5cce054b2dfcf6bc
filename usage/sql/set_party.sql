UPDATE tenant
SET address = $2, tax_number = $3, revision = revision + 1
WHERE tenant_id = $1
