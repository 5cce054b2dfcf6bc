SELECT tenant_id, vcpus, memory_kib
FROM instance_hold
WHERE instance_id = $1
FOR NO KEY UPDATE
