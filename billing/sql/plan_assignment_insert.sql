-- The tenant is locked, so that two do not take the same revision. Whatever changes a tenant counts.
WITH changed AS (
    UPDATE tenant SET revision = revision + 1 WHERE tenant_id = $1
)
INSERT INTO plan_assignment (tenant_id, revision, valid_from, plan_name, recorded_at, recorded_by)
SELECT $1, COALESCE(max(a.revision), 0) + 1, $2, $3, $4, $5
FROM plan_assignment a
WHERE a.tenant_id = $1
