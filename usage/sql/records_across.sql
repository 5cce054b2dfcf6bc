-- Records that reach over the border of a window: they are of another window length.
SELECT DISTINCT u.window_start, u.window_end
FROM usage_record u
JOIN unnest($3::timestamptz[], $4::timestamptz[]) AS w (starts, ends)
    -- No window was ever longer than an hour.
    ON w.starts - INTERVAL '1 hour' < u.window_start AND u.window_start < w.ends AND w.starts < u.window_end
WHERE u.resource = $2
  AND (u.kind = 'volume') = ($1 = 'volume')
  AND (u.window_start < w.starts OR w.ends < u.window_end)
