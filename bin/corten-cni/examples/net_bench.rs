//! How long ADD and DEL of a bridge take: our plugins, the reference plugins, and a program that
//! makes bare netlink calls for the same outcome, in alternating runs. `cargo xtask bench net`
//! builds and runs it.
//!
//! Usage: `net_bench OURS REFERENCE ROUNDS`, two folders of plugins and a number. Prints medians in
//! milliseconds as JSON.
#![allow(clippy::unwrap_used, reason = "a measurement fails by panicking")]
#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use corten_sys_netlink::in_namespace;
use corten_sys_netlink::route::{
    Address, LinkChange, Links, MacAddress, NewBridge, NewVeth, Route,
};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces};
use serde_json::{Value, json};

/// One way to attach a container, and what it took.
struct Candidate {
    name: &'static str,
    program: PathBuf,
    conf: Value,
    add: Vec<Duration>,
    del: Vec<Duration>,
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("floor") => floor(&arguments[2], &arguments[3]),
        _ => {
            let [_, ours, reference, rounds] = arguments.as_slice() else {
                return say("usage: net_bench OURS REFERENCE ROUNDS");
            };
            let rounds = rounds.parse().unwrap();
            let result = in_new_namespaces(NamespaceOptions::default(), || {
                measure(Path::new(ours), Path::new(reference), rounds)
            });
            say(&serde_json::to_string_pretty(&result).unwrap());
        }
    }
}

fn say(text: &str) {
    println!("{text}");
}

fn measure(ours: &Path, reference: &Path, rounds: usize) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let conf = |bridge: &str, masquerade: bool| {
        json!({"cniVersion": "1.0.0", "name": bridge, "type": "bridge", "bridge": bridge,
            "isDefaultGateway": true, "ipMasq": masquerade,
            "ipam": {"type": "host-local", "dataDir": dir.path(),
                "ranges": [[{"subnet": "10.42.0.0/16"}]]}})
    };
    let candidate = |name, program: PathBuf, conf| Candidate {
        name,
        program,
        conf,
        add: Vec::new(),
        del: Vec::new(),
    };
    let itself = std::env::current_exe().unwrap();
    let mut candidates = [
        candidate("ours", ours.join("bridge"), conf("br-ours", false)),
        candidate("reference", reference.join("bridge"), conf("br-reference", false)),
        candidate("floor", itself, Value::Null),
        candidate("ours-masquerading", ours.join("bridge"), conf("br-ours2", true)),
        candidate("reference-masquerading", reference.join("bridge"), conf("br-reference2", true)),
    ];
    let count = candidates.len();
    for round in 0..rounds {
        for step in 0..count {
            // Nobody always comes after the same one.
            candidates[(round + step) % count].run(dir.path(), round);
        }
    }
    let medians = candidates.iter_mut().map(|it| {
        (it.name.to_owned(), json!({"add_ms": median(&mut it.add), "del_ms": median(&mut it.del)}))
    });
    Value::Object(medians.collect())
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    let middle = times[times.len() / 2];
    (middle.as_secs_f64() * 1e5).round() / 100.0
}

impl Candidate {
    fn run(&mut self, dir: &Path, round: usize) {
        let namespace = in_new_namespaces(NamespaceOptions::default(), || {
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let path = dir.join(format!("{}-{round}", self.name));
        File::create(&path).unwrap();
        let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
        rustix::mount::mount_bind(source, &path).unwrap();
        let add = self.call("ADD", &path);
        let del = self.call("DEL", &path);
        // The first call makes the bridge.
        if round > 0 {
            self.add.push(add);
            self.del.push(del);
        }
        rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH).unwrap();
    }

    fn call(&self, verb: &str, netns: &Path) -> Duration {
        let mut command = Command::new(&self.program);
        if self.conf.is_null() {
            command.args(["floor", verb]).arg(netns);
        }
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", netns.file_name().unwrap())
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", self.program.parent().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let begin = Instant::now();
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(self.conf.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let time = begin.elapsed();
        assert!(output.status.success(), "{} {verb}: {output:?}", self.name);
        time
    }
}

/// The netlink calls that attaching needs, without looking at anything.
fn floor(verb: &str, netns: &str) {
    let namespace = File::open(netns).unwrap();
    let mut links = Links::open().unwrap();
    if verb == "DEL" {
        return in_namespace(&namespace, || {
            let mut links = Links::open().unwrap();
            let index = links.link("eth0").unwrap().unwrap().index;
            links.delete_link(index).unwrap();
        })
        .unwrap();
    }
    let bridge = links.link("br-floor").unwrap().unwrap_or_else(|| {
        let mac = MacAddress::local([7; 6]);
        links.add_bridge(&NewBridge { name: "br-floor", mac, mtu: None }).unwrap();
        links.link("br-floor").unwrap().unwrap()
    });
    let name = format!("floor{}", std::process::id());
    let veth = NewVeth {
        name: &name,
        master: bridge.index,
        peer_name: "eth0",
        peer_namespace: &namespace,
        peer_mac: None,
        mtu: None,
    };
    links.add_veth(&veth).unwrap();
    in_namespace(&namespace, || {
        let mut links = Links::open().unwrap();
        let link = links.link("eth0").unwrap().unwrap().index;
        let address = "10.42.0.2".parse().unwrap();
        links.add_address(Address { link, address, prefix: 16 }, false).unwrap();
        links.set_link(link, &LinkChange { up: Some(true), ..LinkChange::default() }).unwrap();
        let any = "0.0.0.0".parse().unwrap();
        let gateway = "10.42.0.1".parse().unwrap();
        links.add_route(&Route::new(any, 0, Some(gateway), link)).unwrap();
    })
    .unwrap();
}
