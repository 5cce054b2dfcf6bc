INSERT INTO billing_run_item (run_id, tenant_id, changed_at)
SELECT $1, tenant_id, $3
FROM unnest($2::uuid[]) AS a (tenant_id)
ON CONFLICT (run_id, tenant_id) DO NOTHING
