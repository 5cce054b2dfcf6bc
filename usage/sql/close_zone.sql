SELECT time_zone FROM tenant WHERE tenant_id = $1
