INSERT INTO tax_table (revision, content, applied_at)
VALUES ($1, $2, $3)
