//! The cgroups above containers: `kubepods`, one per QoS class, one per pod.
//!
//! Containers' own cgroups are the runtime's, made below the pod's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use corten_runtime_cgroup::{Cgroup, CgroupPath, Error, Hierarchies, Limit, Mode, Resources};
use k8s_openapi::api::core::v1::PodSpec;

use crate::pods::model::PodUid;
use crate::pods::resources::{self, QosClass};

/// What the sandbox itself may use beside the containers of a pod that has a memory limit: without
/// it the pod's limit would strike before the container's own.
const SANDBOX_MEMORY_BYTES: i64 = 8 << 20;
/// The kernel's least weight, for pods that ask for nothing.
const SHARES_MIN: u64 = 2;

/// What all pods together may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocatable {
    pub(crate) cpu_milli: i64,
    pub(crate) memory_bytes: i64,
}

/// The cgroups of pods. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hierarchies: Hierarchies,
    kubepods: CgroupPath,
    pids_limit: u64,
    /// Cpu requests of Burstable pods, whose class weighs as much as they together.
    burstable: Mutex<BTreeMap<PodUid, i64>>,
}

fn limit(bytes: i64) -> Option<Limit> {
    Some(Limit::from_signed(bytes))
}

impl Cgroups {
    /// Makes `kubepods` and the classes' cgroups, and limits them to what is allocatable.
    pub(crate) fn prepare(
        root: &str,
        allocatable: Allocatable,
        pids_limit: u64,
    ) -> Result<Self, Error> {
        let hierarchies = Hierarchies::probe()?;
        let kubepods = CgroupPath::new(root)?.join("kubepods")?;
        let top = Cgroup::create(&hierarchies, &kubepods)?;
        let mut limits = Resources::default();
        limits.cpu.shares = u64::try_from(resources::shares(allocatable.cpu_milli)).ok();
        limits.memory.max = limit(allocatable.memory_bytes);
        top.apply(&limits)?;
        let cgroups = Self {
            inner: Arc::new(Inner {
                hierarchies,
                kubepods,
                pids_limit,
                burstable: Mutex::default(),
            }),
        };
        let mut least = Resources::default();
        least.cpu.shares = Some(SHARES_MIN);
        for class in [QosClass::Burstable, QosClass::BestEffort] {
            let path = cgroups.class_path(class)?;
            Cgroup::create(&cgroups.inner.hierarchies, &path)?.apply(&least)?;
        }
        Ok(cgroups)
    }

    /// Whether all controllers are in the unified hierarchy.
    pub(crate) fn is_unified(&self) -> bool {
        self.inner.hierarchies.mode() == Mode::Unified
    }

    fn class_path(&self, class: QosClass) -> Result<CgroupPath, Error> {
        match class {
            QosClass::Guaranteed => Ok(self.inner.kubepods.clone()),
            QosClass::Burstable => self.inner.kubepods.join("burstable"),
            QosClass::BestEffort => self.inner.kubepods.join("besteffort"),
        }
    }

    fn pod_path(&self, uid: &PodUid, class: QosClass) -> Result<CgroupPath, Error> {
        self.class_path(class)?.join(&format!("pod{uid}"))
    }

    /// Makes and limits the pod's cgroup; returns its path. Blocking, short.
    pub(crate) fn create_pod(&self, uid: &PodUid, spec: &PodSpec) -> Result<String, Error> {
        let class = resources::qos_class(spec);
        let path = self.pod_path(uid, class)?;
        let cgroup = Cgroup::create(&self.inner.hierarchies, &path)?;
        let cpu_request = resources::pod_sum(spec, |a| a.cpu_request_milli);
        let mut limits = Resources::default();
        limits.cpu.shares = u64::try_from(resources::shares(cpu_request)).ok();
        if let Some(milli) = resources::pod_total(spec, |a| a.cpu_limit_milli) {
            limits.cpu.period_us = u64::try_from(resources::PERIOD_US).ok();
            limits.cpu.quota_us = limit(resources::quota_us(milli));
        }
        if let Some(bytes) = resources::pod_total(spec, |a| a.memory_limit_bytes) {
            limits.memory.max = limit(bytes.saturating_add(SANDBOX_MEMORY_BYTES));
        }
        if self.inner.pids_limit > 0 {
            limits.pids.max = Some(Limit::Value(self.inner.pids_limit));
        }
        cgroup.apply(&limits)?;
        if class == QosClass::Burstable {
            self.weigh_burstable(|pods| pods.insert(uid.clone(), cpu_request))?;
        }
        Ok(path.as_str().to_owned())
    }

    /// Kills what is left in the pod's cgroup and removes it, in whichever class it is. Blocking.
    pub(crate) fn remove_pod(&self, uid: &PodUid) -> Result<(), Error> {
        for class in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
            let path = self.pod_path(uid, class)?;
            // What cannot be opened is not there; a half-made one is removed by its path as well.
            if let Ok(cgroup) = Cgroup::open(&self.inner.hierarchies, &path) {
                if !cgroup.pids()?.is_empty() {
                    cgroup.kill()?;
                }
                cgroup.remove()?;
            }
        }
        self.weigh_burstable(|pods| pods.remove(uid))
    }

    fn weigh_burstable(
        &self,
        change: impl FnOnce(&mut BTreeMap<PodUid, i64>) -> Option<i64>,
    ) -> Result<(), Error> {
        let sum = {
            let mut pods = self.inner.burstable.lock().unwrap_or_else(PoisonError::into_inner);
            let before: i64 = pods.values().sum();
            change(&mut pods);
            let after: i64 = pods.values().sum();
            if before == after {
                return Ok(());
            }
            after
        };
        let path = self.class_path(QosClass::Burstable)?;
        let mut weight = Resources::default();
        weight.cpu.shares = u64::try_from(resources::shares(sum)).ok();
        Cgroup::open(&self.inner.hierarchies, &path)?.apply(&weight).map(drop)
    }

    /// Pods that have a cgroup here, by uid: to find those that nobody knows any more.
    pub(crate) fn known_pods(&self) -> Vec<PodUid> {
        let mut found = Vec::new();
        for class in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
            let Ok(path) = self.class_path(class) else { continue };
            for (mount, _) in self.inner.hierarchies.mounts() {
                let folder = mount.join(path.as_str().trim_start_matches('/'));
                let Ok(entries) = std::fs::read_dir(folder) else { continue };
                for entry in entries.flatten() {
                    let name = entry.file_name();
                    if let Some(uid) = name.to_str().and_then(|name| name.strip_prefix("pod")) {
                        found.push(PodUid(uid.to_owned()));
                    }
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }
}
