DELETE FROM dirty_window
WHERE kind = $1 AND resource = $2 AND window_start = ANY ($3)
