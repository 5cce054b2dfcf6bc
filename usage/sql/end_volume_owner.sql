UPDATE volume_tenant SET until = $2
WHERE volume_id = $1 AND since < $2 AND (until IS NULL OR $2 < until)
