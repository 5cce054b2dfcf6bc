//! The private server and what may befall it, on real processes.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use migrations::cluster::{ClusterError, ClusterOptions, ClusterState, PrivateCluster};
use migrations::{Database, PoolLimits, Scope, migrate};
use uuid::Uuid;

/// No test waits longer for anything; a slow machine must not fail.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set for the copy of this program that is killed.
const VICTIM: &str = "WEIR_TEST_CLUSTER_VICTIM";

const INSERT: &str = "INSERT INTO tenant (tenant_id, name, display_name) VALUES ($1, $2, 'x')";

/// A directory that the unprivileged user may pass through.
fn place() -> tempfile::TempDir {
    let place = tempfile::Builder::new().prefix("weir-cluster-").tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

async fn start(data: &Path) -> PrivateCluster {
    PrivateCluster::start(ClusterOptions::new(data)).await.unwrap()
}

async fn refusal(options: ClusterOptions) -> ClusterError {
    match PrivateCluster::start(options).await {
        Err(error) => error,
        Ok(_) => panic!("it started"),
    }
}

async fn open(cluster: &PrivateCluster) -> Database {
    migrate(cluster.url()).await.unwrap();
    Database::connect(cluster.url(), PoolLimits::default()).await.unwrap()
}

async fn insert(database: &Database, id: Uuid) -> Result<(), migrations::DbError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction.execute(INSERT, &[&id, &id.to_string()]).await?;
    Ok(transaction.commit().await?)
}

async fn tenants(database: &Database) -> BTreeSet<Uuid> {
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let rows = transaction.query("SELECT tenant_id FROM tenant", &[]).await.unwrap();
    rows.iter().map(|row| row.get("tenant_id")).collect()
}

/// `None` while it is being brought back.
fn running(cluster: &PrivateCluster) -> Option<u32> {
    match *cluster.supervise().borrow() {
        ClusterState::Running { pid } => Some(pid),
        _ => None,
    }
}

fn pid_of(cluster: &PrivateCluster) -> u32 {
    running(cluster).expect("the server runs")
}

fn socket_dir_of(cluster: &PrivateCluster) -> PathBuf {
    let config: tokio_postgres::Config = cluster.url().parse().unwrap();
    match config.get_hosts() {
        [tokio_postgres::config::Host::Unix(path)] => path.clone(),
        hosts => panic!("not one socket: {hosts:?}"),
    }
}

fn kill_9(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn what_is_committed_is_there_after_a_stop_and_a_start() {
    let place = place();
    let data = place.path().join("data");
    let cluster = start(&data).await;
    let database = open(&cluster).await;
    let id = Uuid::new_v4();
    insert(&database, id).await.unwrap();
    let pid = pid_of(&cluster);
    cluster.stop().await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the server outlived its stop");

    let cluster = start(&data).await;
    assert!(tenants(&open(&cluster).await).await.contains(&id));
    cluster.stop().await;
}

#[tokio::test]
async fn the_server_is_unprivileged_alone_and_closed_to_others() {
    let place = place();
    let data = place.path().join("data");
    let cluster = start(&data).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid_of(&cluster))).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(field("Uid:").iter().all(|uid| uid != "0"), "{status}");
    assert_eq!(field("Umask:"), ["0077"]);
    if is_root() {
        assert_eq!(field("Groups:"), Vec::<String>::new());
    }
    let mode = |path: &str| data.join(path).metadata().unwrap().mode() & 0o777;
    assert_eq!(mode("postgres"), 0o700);
    assert_eq!(mode("secrets"), 0o700);
    assert_eq!(mode("secrets/postgres-weir"), 0o600);
    assert_eq!(mode("secrets/postgres-postgres"), 0o600);

    let (client, connection) = tokio_postgres::connect(cluster.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for (setting, expected) in
        [("listen_addresses", ""), ("fsync", "on"), ("data_checksums", "on"), ("is_superuser", "off")]
    {
        let row = client.query_one("SELECT current_setting($1)", &[&setting]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected, "{setting}");
    }
    let (before, after) = cluster.url().split_once(':').unwrap();
    let (_, host) = after.split_once('@').unwrap();
    let forged = format!("{before}://weir:guessed@{host}");
    assert!(tokio_postgres::connect(&forged, tokio_postgres::NoTls).await.is_err(), "any password opens it");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_comes_back_while_clients_go_on_and_nothing_committed_is_lost() {
    let place = place();
    let cluster = start(&place.path().join("data")).await;
    let database = open(&cluster).await;
    let mut committed = BTreeSet::new();
    for round in 0..3 {
        for _ in 0..20 {
            let id = Uuid::new_v4();
            insert(&database, id).await.unwrap();
            committed.insert(id);
        }
        let before = pid_of(&cluster);
        kill_9(before);
        let since = Instant::now();
        loop {
            let id = Uuid::new_v4();
            match insert(&database, id).await {
                Ok(()) => {
                    // Perhaps on a process that outlived its server for a moment: committed all the same.
                    committed.insert(id);
                    if running(&cluster).is_some_and(|pid| pid != before) {
                        break;
                    }
                }
                Err(error) => assert!(error.is_transient(), "round {round}: {error:?}"),
            }
            assert!(since.elapsed() < PATIENCE, "round {round}: the server did not come back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let kept = tenants(&database).await;
    assert!(committed.is_subset(&kept), "lost: {:?}", committed.difference(&kept).collect::<Vec<_>>());
    cluster.stop().await;
}

/// Starts a copy of this program that runs a cluster in `data` and prints each tenant that it has committed.
fn victim(data: &Path) -> (Child, std::io::Lines<BufReader<std::process::ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_copy_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(VICTIM, data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// The other half of the tests below; without [`VICTIM`] there is nothing for it to do.
#[tokio::test]
async fn the_copy_that_is_killed() {
    let Some(data) = std::env::var_os(VICTIM) else {
        return;
    };
    let cluster = start(Path::new(&data)).await;
    let database = open(&cluster).await;
    println!("server {}", pid_of(&cluster));
    loop {
        let id = Uuid::new_v4();
        insert(&database, id).await.unwrap();
        println!("committed {id}");
    }
}

#[tokio::test]
async fn a_killed_parent_takes_the_server_along_and_what_was_committed_is_there_again() {
    let place = place();
    let data = place.path().join("data");
    let mut committed = BTreeSet::new();
    for round in 1..=3 {
        let (mut child, lines) = victim(&data);
        let mut server = None;
        let mut count = 0;
        for line in lines {
            let line = line.unwrap();
            if let Some((_, pid)) = line.split_once("server ") {
                server = Some(pid.trim().to_owned());
            } else if let Some((_, id)) = line.split_once("committed ") {
                committed.insert(id.trim().parse::<Uuid>().unwrap());
                count += 1;
            }
            if count == 40 {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        assert_eq!(count, 40, "round {round}: the copy ended by itself");
        if round == 2 {
            // The kernel asked the server to end; the other rounds do not give it the time.
            let proc = PathBuf::from(format!("/proc/{}/cwd", server.unwrap()));
            let since = Instant::now();
            while proc.read_link().is_ok_and(|cwd| cwd == data.join("postgres")) {
                assert!(since.elapsed() < PATIENCE, "the server outlived its parent");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    let cluster = start(&data).await;
    let kept = tenants(&open(&cluster).await).await;
    assert!(committed.is_subset(&kept), "lost: {:?}", committed.difference(&kept).collect::<Vec<_>>());
    cluster.stop().await;
}

#[tokio::test]
async fn a_kill_while_the_cluster_is_made_leaves_something_that_starts() {
    let place = place();
    let data = place.path().join("data");
    for (file, pause) in [("postgres.unfinished", 0), ("postgres.unfinished/global", 300), ("postgres", 0)] {
        let (mut child, _lines) = victim(&data);
        let since = Instant::now();
        while !data.join(file).exists() {
            assert!(since.elapsed() < PATIENCE, "{file} never came");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let cluster = start(&data).await;
    assert!(tenants(&open(&cluster).await).await.contains(&migrations::UNASSIGNED_TENANT));
    assert!(!data.join("postgres.unfinished").exists() && !data.join("postgres.password").exists());
    cluster.stop().await;
}

#[tokio::test]
async fn a_second_start_in_one_directory_names_the_first() {
    let place = place();
    let data = place.path().join("data");
    let cluster = start(&data).await;
    match refusal(ClusterOptions::new(&data)).await {
        ClusterError::InUse { pid, .. } => assert_eq!(pid, Some(std::process::id())),
        error => panic!("{error}"),
    }
    // And did the first no harm.
    assert!(!tenants(&open(&cluster).await).await.is_empty());
    cluster.stop().await;
    start(&data).await.stop().await;
}

#[tokio::test]
async fn a_stale_note_of_a_process_that_is_another_ones_now_does_not_keep_it_from_starting() {
    let place = place();
    let data = place.path().join("data");
    start(&data).await.stop().await;
    // A process of the server's own user, whom PostgreSQL would take for a running server.
    let mut stranger = Command::new("/bin/sleep");
    stranger.arg("600");
    if is_root() {
        use std::os::unix::process::CommandExt;
        stranger.uid(data.join("postgres").metadata().unwrap().uid());
    }
    let mut stranger = stranger.spawn().unwrap();
    let note = format!("{}\n{}\n0\n5432\n", stranger.id(), data.join("postgres").display());
    std::fs::write(data.join("postgres/postmaster.pid"), note).unwrap();
    let cluster = start(&data).await;
    assert!(stranger.try_wait().unwrap().is_none(), "a stranger was ended");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn hostile_directory_names_are_only_names() {
    let place = place();
    for name in
        ["it's \"quoted\", twice", "$(touch x) `touch y` %s %2F \\ ; # größe \u{1F600}", &"long".repeat(50)]
    {
        let cluster = start(&place.path().join(name)).await;
        assert!(!tenants(&open(&cluster).await).await.is_empty(), "{name:?}");
        cluster.stop().await;
    }
    let deep = place.path().join("d".repeat(200)).join("e".repeat(200));
    let cluster = start(&deep).await;
    let socket_dir = socket_dir_of(&cluster);
    assert!(socket_dir.join(".s.PGSQL.5432").exists() && !socket_dir.starts_with(&deep), "{socket_dir:?}");
    assert_eq!(socket_dir.metadata().unwrap().mode() & 0o777, 0o700);
    cluster.stop().await;
    assert!(!socket_dir.exists(), "{socket_dir:?} is left over");
    let names: Vec<_> =
        std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");

    for name in ["line\nbreak", "tab\t"] {
        let error = refusal(ClusterOptions::new(place.path().join(name))).await;
        assert!(matches!(error, ClusterError::Path { .. }), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let error = refusal(ClusterOptions::new(deep.join("f".repeat(200)).join("g".repeat(255)))).await;
    assert!(matches!(error, ClusterError::Path { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_that_the_unprivileged_user_cannot_reach_is_named_with_two_ways_out() {
    let place = place();
    let closed = place.path().join("clo'sed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let data = closed.join("a/data");
    if !is_root() {
        // Then there is no other user: what we can reach it can.
        start(&data).await.stop().await;
        return;
    }
    let error = refusal(ClusterOptions::new(&data)).await;
    match &error {
        ClusterError::NotTraversable { directory, user } => {
            assert_eq!((directory, user.as_str()), (&closed, "postgres"));
        }
        error => panic!("{error}"),
    }
    let text = error.to_string();
    assert!(text.contains("chmod o+x") && text.contains("another data directory"), "{text}");
    // The data directory itself is ours to open, for that one user.
    let own = place.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o700)).unwrap();
    start(&own).await.stop().await;
    assert_eq!(own.metadata().unwrap().mode() & 0o777, 0o710);
}

#[tokio::test]
async fn what_is_missing_or_in_the_way_is_said_in_one_sentence() {
    let place = place();
    let data = place.path().join("data");
    let check = async |options: ClusterOptions, part: &str| {
        let text = refusal(options).await.to_string();
        assert!(text.contains(part) && !text.contains('\n'), "{text}");
    };
    let nothing =
        ClusterOptions { programs_dir: Some(place.path().join("none")), ..ClusterOptions::new(&data) };
    check(nothing, "apt-get install postgresql-15").await;
    if is_root() {
        let nobody =
            ClusterOptions { user: Some("weir-no-such-user".to_owned()), ..ClusterOptions::new(&data) };
        check(nobody, "weir-no-such-user").await;
        let root = ClusterOptions { user: Some("root".to_owned()), ..ClusterOptions::new(&data) };
        check(root, "refuses to run as root").await;
    }
    assert!(!data.exists(), "a start that could not be left something behind");

    std::fs::create_dir_all(data.join("postgres")).unwrap();
    check(ClusterOptions::new(&data), "is not a PostgreSQL data directory").await;
    std::fs::write(data.join("postgres/PG_VERSION"), "14\n").unwrap();
    check(ClusterOptions::new(&data), "apt-get install postgresql-14").await;
    std::fs::remove_dir_all(&data).unwrap();

    start(&data).await.stop().await;
    let secret = data.join("secrets/postgres-postgres");
    let kept = std::fs::read(&secret).unwrap();
    std::fs::remove_file(&secret).unwrap();
    check(ClusterOptions::new(&data), "put it back from a backup").await;
    std::fs::write(&secret, kept).unwrap();
    // The owner's can be drawn anew.
    std::fs::remove_file(data.join("secrets/postgres-weir")).unwrap();
    let cluster = start(&data).await;
    open(&cluster).await;
    cluster.stop().await;
    std::fs::write(data.join("postgres/postgresql.conf"), "no_such_setting = 1\n").unwrap();
    check(ClusterOptions::new(&data), "no_such_setting").await;
}

/// A file system of its own, taken away again at the end.
struct Mount(PathBuf);

impl Mount {
    fn new(at: PathBuf, options: &str) -> Self {
        std::fs::create_dir(&at).unwrap();
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).status().unwrap();
        assert!(status.success(), "this test mounts a small disk, which takes root");
        Self(at)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_and_a_read_only_disk_are_told_apart() {
    let place = place();
    let small = Mount::new(place.path().join("small"), "size=6m,mode=755");
    let error = refusal(ClusterOptions::new(small.0.join("data"))).await;
    assert!(matches!(error, ClusterError::DiskFull { .. }), "{error}");

    let frozen = Mount::new(place.path().join("frozen"), "ro,mode=755");
    let error = refusal(ClusterOptions::new(frozen.0.join("data"))).await;
    assert!(matches!(error, ClusterError::ReadOnly { .. }), "{error}");

    // With the data directory there already, too.
    let data = place.path().join("data");
    start(&data).await.stop().await;
    let thawed = Mount::new(place.path().join("thawed"), "size=200m,mode=755");
    let status = Command::new("cp").arg("-a").arg(&data).arg(&thawed.0).status().unwrap();
    assert!(status.success());
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&thawed.0).status().unwrap();
    assert!(status.success());
    let error = refusal(ClusterOptions::new(thawed.0.join("data"))).await;
    assert!(matches!(error, ClusterError::ReadOnly { .. }), "{error}");
}

#[tokio::test]
async fn a_log_that_grew_too_large_is_moved_aside() {
    let place = place();
    let data = place.path().join("data");
    let cluster = start(&data).await;
    let log = cluster.log_file();
    cluster.stop().await;
    let size = 16 * 1024 * 1024 + 1;
    std::fs::File::options().write(true).open(&log).unwrap().set_len(size).unwrap();
    start(&data).await.stop().await;
    assert!(log.metadata().unwrap().len() < size);
    assert_eq!(log.with_extension("log.1").metadata().unwrap().len(), size);
}
