DELETE FROM instance_tenant WHERE instance_id = $1 AND since >= $2
