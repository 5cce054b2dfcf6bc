-- Days of nodes from $1 to $2 that may still change.
SELECT n.node_id, d.day::date AS day
FROM node n
CROSS JOIN generate_series($1::date, $2::date, INTERVAL '1 day') AS d (day)
WHERE n.last_observed_at IS NOT NULL AND d.day::date <= (n.last_observed_at AT TIME ZONE 'UTC')::date
  AND NOT EXISTS (
      SELECT FROM node_day c WHERE c.node_id = n.node_id AND c.day = d.day::date AND c.is_complete
  )
ORDER BY d.day, n.node_id
