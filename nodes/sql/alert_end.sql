UPDATE alert SET ended_at = greatest($3, seen_at) WHERE kind = $1 AND subject = $2 AND ended_at IS NULL
