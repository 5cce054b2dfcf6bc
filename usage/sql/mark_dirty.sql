-- DO UPDATE, not DO NOTHING: the row must be locked even when it changes nothing (it is, also where the condition does not hold),
-- or a derivation could take the mark, read before our readings are committed, and nobody would derive them. The condition:
-- nearly every batch marks what is marked already, and need not write it again.
INSERT INTO dirty_window (kind, resource, window_start, window_end)
SELECT x.kind, x.resource, x.window_start, x.window_end
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::timestamptz[])
    AS x (kind, resource, window_start, window_end)
ORDER BY x.kind, x.resource, x.window_start
ON CONFLICT (kind, resource, window_start)
DO UPDATE SET window_end = EXCLUDED.window_end
WHERE dirty_window.window_end < EXCLUDED.window_end
