-- Those of $2 that the automatic run of a month does not know yet.
SELECT a.tenant_id
FROM unnest($2::uuid[]) AS a (tenant_id)
WHERE NOT EXISTS (SELECT FROM billing_run r
                  JOIN billing_run_item i ON i.run_id = r.run_id
                  WHERE r.origin = 'automatic' AND r.period = $1 AND i.tenant_id = a.tenant_id)
