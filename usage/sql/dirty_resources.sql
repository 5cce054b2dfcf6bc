SELECT DISTINCT kind, resource
FROM dirty_window
WHERE ($1, $2) < (kind, resource)
ORDER BY kind, resource
LIMIT $3
