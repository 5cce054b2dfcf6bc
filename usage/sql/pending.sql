SELECT DISTINCT resource FROM dirty_window ORDER BY resource
