UPDATE quarantine SET released_at = $2 WHERE quarantine_id = ANY ($1)
