UPDATE tenant SET plan_name = $2, revision = revision + 1 WHERE tenant_id = $1
