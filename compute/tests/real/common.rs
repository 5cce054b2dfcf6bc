//! What the tests on real guests share: a recorder that looks at the guest whenever a reading is asked for, and a
//! compute of their own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use compute::{Boot, BoxFuture, ByteSize, Compute, InstanceSpec, Readings, Settings, Virtualization};
use metering::{InstanceId, TenantName};
use testbed::process::virsh;
use uuid::Uuid;

/// What the guest was when a reading was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `running`, `paused`, `shut off`, or `absent`.
    pub state: String,
    /// Bytes written to the second disk, where there is one.
    pub vdb_write_bytes: Option<u64>,
    /// How many NICs the running guest has.
    pub nics: usize,
    /// Whether there is a volume of the guest in the pool.
    pub volumes: usize,
}

/// Looks at one guest through virsh, which shares nothing with the code under test.
pub struct Recorder {
    pub id: InstanceId,
    pool_path: PathBuf,
    seen: Mutex<Vec<Seen>>,
    pub broken: AtomicBool,
}

impl Recorder {
    pub fn states(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.state).collect()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn clear(&self) {
        self.seen.lock().unwrap().clear();
    }

    fn look(&self) -> Seen {
        let id = self.id.to_string();
        let state =
            virsh(&["domstate", &id]).map_or_else(|_| "absent".to_owned(), |text| text.trim().to_owned());
        // Asked only where there is one: the question waits 30 s for a QEMU that hangs.
        let has_vdb = virsh(&["domblklist", &id]).is_ok_and(|list| list.contains("vdb"));
        let stats =
            if has_vdb { virsh(&["domblkstat", &id, "vdb"]).unwrap_or_default() } else { String::new() };
        let write_bytes = stats.lines().find_map(|line| line.split_once("wr_bytes ")?.1.trim().parse().ok());
        let nics = virsh(&["domiflist", &id]).unwrap_or_default().matches("52:54:00").count();
        Seen { state, vdb_write_bytes: write_bytes, nics, volumes: volumes_of(&self.pool_path, self.id) }
    }
}

impl Readings for Recorder {
    fn take(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            let seen = self.look();
            self.seen.lock().unwrap().push(seen);
            if self.broken.load(Ordering::SeqCst) {
                Err("the disk of the collector is full".to_owned())
            } else {
                Ok(())
            }
        })
    }
}

/// A compute with a pool of its own, all of which is removed when it goes.
pub struct Bench {
    pub compute: Compute,
    pub recorder: Arc<Recorder>,
    pub name: String,
    pub settings: Settings,
}

impl Bench {
    pub fn new(task: &str) -> Self {
        Self::with(task, Virtualization::Auto)
    }

    pub fn with(task: &str, virtualization: Virtualization) -> Self {
        testbed::daemons::ensure().unwrap();
        let name = testbed::unique_name(&format!("weirt-compute-{task}"));
        let settings = Settings {
            pool: name.clone(),
            pool_path: PathBuf::from("/var/lib/libvirt/images").join(&name),
            virtualization,
            ..Settings::default()
        };
        let recorder = Arc::new(Recorder {
            id: InstanceId::from_uuid(Uuid::new_v4()),
            pool_path: settings.pool_path.clone(),
            seen: Mutex::default(),
            broken: AtomicBool::new(false),
        });
        let compute = Compute::start(settings.clone(), Arc::clone(&recorder) as Arc<dyn Readings>).unwrap();
        Self { compute, recorder, name, settings }
    }

    pub fn id(&self) -> InstanceId {
        self.recorder.id
    }

    pub fn who(&self) -> compute::InstanceRef {
        self.id().into()
    }

    /// A guest that boots Linux and does `orders`.
    pub fn spec(&self, orders: &str) -> InstanceSpec {
        let image = testbed::guest_image::ensure().unwrap();
        InstanceSpec {
            instance_id: Some(self.id()),
            name: self.name.clone(),
            tenant: TenantName::new("acme").unwrap(),
            vcpus: 1,
            memory: ByteSize::from_mib(128),
            boot: Boot::Kernel {
                kernel: image.kernel,
                initrd: image.initrd,
                cmdline: format!("console=ttyS0 quiet weir.orders={orders}"),
            },
            disk: None,
            network: None,
            start: true,
        }
    }

    /// Waits until the guest has said something on its console.
    pub async fn hears(&self, text: &str) {
        let log = self.compute.console_log(self.id());
        wait_for(&format!("{text:?} in {}", log.display()), || {
            std::fs::read_to_string(&log).is_ok_and(|said| said.contains(text))
        })
        .await;
    }

    pub fn volumes(&self) -> usize {
        volumes_of(&self.settings.pool_path, self.id())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let id = self.id().to_string();
        let _ = virsh(&["destroy", &id]);
        let _ = virsh(&["undefine", &id]);
        let _ = virsh(&["pool-destroy", &self.name]);
        let _ = virsh(&["pool-undefine", &self.name]);
        let _ = std::fs::remove_dir_all(&self.settings.pool_path);
        let _ = std::fs::remove_file(self.compute.console_log(self.id()));
    }
}

pub fn volumes_of(pool: &Path, id: InstanceId) -> usize {
    let Ok(entries) = std::fs::read_dir(pool) else {
        return 0;
    };
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&id.to_string())).count()
}

/// Long enough for a machine that does other things as well; a test that passes never waits for it.
pub async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The error with all its sources.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
