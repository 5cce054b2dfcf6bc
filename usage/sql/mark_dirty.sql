-- DO UPDATE, not DO NOTHING: the row must be locked even when it changes nothing, or a derivation could take the mark,
-- read before our readings are committed, and nobody would derive them.
INSERT INTO dirty_window (kind, resource, window_start, window_end)
SELECT x.kind, x.resource, x.window_start, x.window_end
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::timestamptz[])
    AS x (kind, resource, window_start, window_end)
ORDER BY x.kind, x.resource, x.window_start
ON CONFLICT (kind, resource, window_start)
DO UPDATE SET window_end = GREATEST(dirty_window.window_end, EXCLUDED.window_end)
