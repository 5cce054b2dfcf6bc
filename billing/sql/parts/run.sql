-- A billing run with how many tenants stand where; which ones is said by what follows.
SELECT r.run_id, r.period, r.goal, r.origin, r.before_cutoff, r.asked_by, r.created_at, r.finished_at,
       n.tenants, n.waiting, n.done, n.nothing, n.failed
FROM billing_run r
CROSS JOIN LATERAL (SELECT count(*) AS tenants, count(*) FILTER (WHERE i.state = 'waiting') AS waiting,
                           count(*) FILTER (WHERE i.state = 'done') AS done,
                           count(*) FILTER (WHERE i.state = 'nothing') AS nothing,
                           count(*) FILTER (WHERE i.state = 'failed') AS failed
                    FROM billing_run_item i
                    WHERE i.run_id = r.run_id) AS n
