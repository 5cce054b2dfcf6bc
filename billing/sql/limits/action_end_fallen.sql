-- A threshold of an allowance is not reached any more: its forecast fell, or usage was corrected.
UPDATE limit_action
SET ended_at = $7, ended_because = 'it is not reached any more'
WHERE tenant_id = $1 AND name = $2 AND revision = $3 AND period_start = $4 AND basis = $5 AND percent = $6 AND ended_at IS NULL
