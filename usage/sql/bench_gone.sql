-- Everything was seen to end with its last reading: of what merely fell silent, the time since would be recorded as missing.
UPDATE reading_head SET is_gone = true WHERE NOT is_gone
