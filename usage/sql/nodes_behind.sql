-- Nodes whose readings up to $1 are still to come. One that joined counts until somebody removes it, however long it is
-- silent: its readings lie in its spool. A control plane's own of former times counts if it was heard since $2.
SELECT name, last_observed_at AS reported_until
FROM node
WHERE state <> 'removed'
    AND (last_observed_at IS NULL OR last_observed_at < $1)
    AND CASE
        WHEN joined_at IS NULL THEN $2 <= last_observed_at
        ELSE last_observed_at IS NOT NULL OR joined_at < $1
    END
ORDER BY last_observed_at NULLS FIRST, name
