DELETE FROM volume_tenant WHERE volume_id = $1 AND since >= $2
