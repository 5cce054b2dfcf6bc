#!/bin/sh
# Runs the test server and ends it when nobody uses it any more.
#
#   test_server.sh <base directory> <seconds of grace> <log file> <command of the server...>
#
# Every test process holds a shared lock on <base>/users for its life. Whoever gets the lock for itself alone is the
# last: there is no user, and as long as the lock is held there will be none.
base=$1 grace=$2 log=$3
shift 3
exec 9<"$base/users" || exit 1
"$@" 9<&- >>"$log" 2>&1 &
server=$!
while :; do
    # Sleeps until all users have gone, then a little longer: the next test program may be about to start.
    flock -x 9
    flock -u 9
    sleep "$grace"
    flock -x -n 9 && break
done
# The server may have died long ago and its id be another process' now.
if [ "/proc/$server/cwd" -ef "$base/data/postgres" ]; then
    kill -INT "$server"
fi
wait "$server"
# The directory may have been replaced after a crash. Renamed first, so that a newcomer sees it whole or not at all.
if [ "$base/users" -ef "/proc/$$/fd/9" ]; then
    mv "$base" "$base.$$" && rm -rf "$base.$$"
fi
