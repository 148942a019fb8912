//! `events`.

mod stats;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use corten_runtime_cgroup::{Cgroup, OomInterest, OomWatch};
use corten_runtime_container::{ContainerId, LifecycleError};
use corten_sys_linux::pidfd::Pidfd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::json;

use crate::cli::{Args, Flag, Operand, Takes, value};
use crate::global::Global;

const INTERVAL: Duration = Duration::from_secs(5);

/// `events`.
#[derive(Debug)]
pub(super) struct Events {
    id: Option<ContainerId>,
    interval: Duration,
    once: bool,
}

impl Default for Events {
    fn default() -> Self {
        Self { id: None, interval: INTERVAL, once: false }
    }
}

impl Args for Events {
    const NAME: &'static str = "events";
    const ABOUT: &'static str =
        "Show what a container uses, and when it runs out of memory, as JSON";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[&[
        Flag::value(
            "interval",
            Takes::Text("TIME"),
            "How long to wait before each line (5s)",
            |events, interval| {
                events.interval = value::duration(interval)?;
                Ok(())
            },
        ),
        Flag::switch("stats", "Show one line and return", |events, on| events.once = on),
    ]];
    const OPERANDS: &'static [Operand<Self>] = &[Operand::one("ID", |events, id| {
        events.id = value::id(id)?;
        Ok(())
    })];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let states = super::states(global)?;
        let id = super::given(&self.id)?;
        let process = states.load(id)?.process();
        let (Some(process), Some(group)) = (process, running(&states, id)?) else {
            bail!("container with id {id} is not running");
        };
        if self.once {
            return say_stats(id, &group);
        }
        follow(id, &group, &process, self.interval)
    }
}

fn running(
    states: &corten_runtime_container::StateDir,
    id: &ContainerId,
) -> anyhow::Result<Option<Cgroup>> {
    match corten_runtime_container::cgroup(states, id) {
        Ok(group) => Ok(Some(group)),
        Err(LifecycleError::NotRunning) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

fn say_stats(id: &ContainerId, group: &Cgroup) -> anyhow::Result<ExitCode> {
    let details = group.details().context("read what the container uses")?;
    let event = json!({ "type": "stats", "id": id.as_str(), "data": stats::data(&details) });
    super::say(&format!("{event}\n"))
}

/// A line of statistics after each interval, one for each kill by the OOM killer, until the
/// container ends.
fn follow(
    id: &ContainerId,
    group: &Cgroup,
    process: &Pidfd,
    interval: Duration,
) -> anyhow::Result<ExitCode> {
    // Without a memory controller there is no such news; the statistics still are.
    let oom = group.oom_events().ok();
    let mut kills = oom.as_ref().map_or(Ok(0), OomWatch::kills)?;
    let mut next = Instant::now() + interval;
    loop {
        let (ended, news) = wait(process, oom.as_ref(), next)?;
        if let (Some(oom), true) = (&oom, news || ended) {
            let now = oom.acknowledge()?;
            // The kills of a cgroup that is gone are not to be had any more.
            for _kill in kills..now.unwrap_or(kills) {
                super::say(&format!("{}\n", json!({ "type": "oom", "id": id.as_str() })))?;
            }
            kills = now.unwrap_or(kills);
        }
        if ended {
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() >= next {
            say_stats(id, group)?;
            next += interval;
        }
    }
}

/// Waits for the end, for news of the OOM killer, or for the time.
fn wait(process: &Pidfd, oom: Option<&OomWatch>, until: Instant) -> anyhow::Result<(bool, bool)> {
    let mut fds = vec![PollFd::new(process, PollFlags::IN)];
    let watched = oom.map(OomWatch::fd);
    if let (Some(fd), Some(oom)) = (&watched, oom) {
        let flags = match oom.interest() {
            OomInterest::Readable => PollFlags::IN,
            OomInterest::Priority => PollFlags::PRI,
        };
        fds.push(PollFd::new(fd, flags));
    }
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec {
        tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => (),
        Err(errno) => return Err(errno).context("poll"),
    }
    let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
    Ok((ready(0), ready(1)))
}
