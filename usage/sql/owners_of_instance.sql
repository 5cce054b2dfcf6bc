SELECT tenant_id, since, until FROM instance_tenant WHERE instance_id = $1 ORDER BY since
