SELECT backup_id, covers_to, noted_at, note
FROM backup
ORDER BY noted_at DESC, backup_id
LIMIT $1
