-- The index over last_observed_at, which every batch changes in every head, kept each update from staying on its page: a new
-- entry in two indexes for each, and dead rows that only a vacuum took away, which the next batches read. Whoever looks for heads
-- that have fallen silent, once a minute, reads them all.
DROP INDEX reading_head_silent;
