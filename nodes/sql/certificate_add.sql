INSERT INTO node_certificate (serial, node_id, fingerprint, issued_at, expires_at)
VALUES ($1, $2, $3, $4, $5)
