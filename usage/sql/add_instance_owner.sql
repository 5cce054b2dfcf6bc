INSERT INTO instance_tenant (instance_id, tenant_id, since) VALUES ($1, $2, $3)
