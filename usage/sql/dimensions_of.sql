SELECT change_id, kind, resource, device, name, value, valid_from, is_rule, author, recorded_at
FROM resource_dimension
WHERE resource = $1
ORDER BY valid_from DESC, change_id DESC
LIMIT $2
