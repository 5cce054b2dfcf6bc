//! PostgreSQL's settings for a private cluster, each with its reason. Rewritten at every start; what an operator
//! wants otherwise goes through `ALTER SYSTEM`, which wins. It does NOT tune for a server that is shared.

use std::path::Path;

/// The file, included from `postgresql.conf`.
pub(crate) const FILE: &str = "weir.conf";

/// What goes to the end of `postgresql.conf`, once, when the cluster is made.
pub(crate) const INCLUDE: &str = "\ninclude_if_exists 'weir.conf'\n";

const MIB: u64 = 1024 * 1024;

/// An eighth of the memory for PostgreSQL's own cache, as the guests on this machine need the rest; below 64 MiB
/// ingest slows down, above 1 GiB the kernel's cache does as well.
const SHARED_BUFFERS_MIN: u64 = 64 * MIB;
const SHARED_BUFFERS_MAX: u64 = 1024 * MIB;

/// Only where it is installed. The server says nothing to anybody; one launcher, one scheduler and two jobs at once.
const TIMESCALE: &str = "
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 4
max_worker_processes = 16
";

/// The text of [`FILE`]. `socket_dir` must need no quoting (the layout sees to that).
pub(crate) fn render(socket_dir: &Path, memory_bytes: u64, has_timescale: bool) -> String {
    let shared_buffers = (memory_bytes / 8).clamp(SHARED_BUFFERS_MIN, SHARED_BUFFERS_MAX) / MIB;
    let timescale = if has_timescale { TIMESCALE } else { "" };
    format!(
        "# Written by Weir at every start. Change settings with ALTER SYSTEM, which wins over this file.

# Reached through this socket only; the directory is closed to other users.
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'

# Four pools of 16: Weir's own, the command line, Grafana, a person with psql.
max_connections = 64
shared_buffers = '{shared_buffers}MB'
# Sorts of a month of usage stay in memory; few run at once.
work_mem = '16MB'
maintenance_work_mem = '128MB'
# No error where the machine offers no huge pages.
huge_pages = try

# What is committed is on the disk. These are the defaults, said aloud: an invoice hangs on them.
fsync = on
synchronous_commit = on
full_page_writes = on
# Room for a quarter of an hour of ingest between checkpoints, on a disk of any size.
max_wal_size = '1GB'
min_wal_size = '80MB'
checkpoint_timeout = '15min'
checkpoint_completion_target = 0.9
# Full page images of wide tables compress well, and the log of changes is what the disk is busy with.
wal_compression = on
# There are no replicas: less to write.
wal_level = replica
max_wal_senders = 4

# Statements are short; compiling them costs more than it gains.
jit = off
# Text that PostgreSQL makes of an instant does not depend on the machine.
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C.UTF-8'

# To standard error, which Weir leads to log/postgres.log and keeps bounded.
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] %q%u@%d '
log_checkpoints = off
# One second is slow enough to be worth a line. Parameters are left out: they are tenants' data.
log_min_duration_statement = '1s'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
{timescale}",
        port = super::layout::PORT,
        socket_dir = socket_dir.display(),
    )
}

/// The machine's memory in bytes; a small machine's where it cannot be read.
pub(crate) fn memory_bytes() -> u64 {
    const SMALL: u64 = 1024 * MIB;
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else {
        return SMALL;
    };
    text.lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map_or(SMALL, |kib| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_an_eighth_of_the_memory_within_bounds() {
        let check = |memory_mib: u64, expected: &str| {
            let text = render(Path::new("/run/weir"), memory_mib * MIB, false);
            assert!(text.contains(&format!("\nshared_buffers = '{expected}'\n")), "{memory_mib}: {text}");
        };
        check(0, "64MB");
        check(1024, "128MB");
        check(4096, "512MB");
        check(1024 * 1024, "1024MB");
    }
}
