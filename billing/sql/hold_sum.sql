SELECT count(*) AS instances, COALESCE(sum(vcpus), 0) AS vcpus, COALESCE(sum(memory_kib), 0) AS memory_kib
FROM instance_hold
WHERE tenant_id = $1
