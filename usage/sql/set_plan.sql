UPDATE tenant SET plan_name = $2 WHERE tenant_id = $1
