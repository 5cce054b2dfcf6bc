SELECT tenant_id, since, until FROM volume_tenant WHERE volume_id = $1 ORDER BY since
