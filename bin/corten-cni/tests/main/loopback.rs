//! `loopback`.

use std::path::{Path, PathBuf};

use corten_cni_types::{NetworkConfList, RuntimeArgs};
use corten_sys_netlink::route::{LinkChange, Links};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};

use crate::lab::{Host, ROOT};

#[test]
fn loopback_comes_up() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let mut host = Host::new();
        let list = r#"{"cniVersion":"0.4.0","name":"lo","plugins":[{"type":"loopback"}]}"#;
        host.network = NetworkConfList::parse(list.as_bytes()).unwrap();
        let mut one = host.container("one");
        one.args.ifname = "lo".to_owned();
        one.run(|| {
            let mut links = Links::open().unwrap();
            let down = LinkChange { up: Some(false), ..LinkChange::default() };
            links.set_link(1, &down).unwrap();
        });
        let result = host.add(&one);
        assert_eq!(result.ips[0].address.to_string(), "127.0.0.1/8");
        host.invoker.check(&host.network, &one.args).unwrap();
        host.invoker.del(&host.network, &one.args).unwrap();
        assert!(!one.run(|| Links::open().unwrap().link("lo").unwrap().unwrap().up));
        let gone = RuntimeArgs { netns: PathBuf::new(), ..one.args.clone() };
        host.invoker.del(&host.network, &gone).unwrap();
        assert!(!Path::new("/run/netns/one").exists());
    });
}
