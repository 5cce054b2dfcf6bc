INSERT INTO volume_tenant (volume_id, tenant_id, since) VALUES ($1, $2, $3)
