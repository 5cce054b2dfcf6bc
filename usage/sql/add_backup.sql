INSERT INTO backup (backup_id, covers_to, noted_at, note)
VALUES ($1, $2, $3, $4)
