-- Who holds each of the instances $1 now.
SELECT instance_id, tenant_id
FROM instance_tenant
WHERE instance_id = ANY ($1) AND until IS NULL
