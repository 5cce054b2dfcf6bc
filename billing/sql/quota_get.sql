SELECT instances, vcpus, memory_kib, revision
FROM quota
WHERE tenant_id = $1
