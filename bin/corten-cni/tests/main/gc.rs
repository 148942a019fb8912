//! What is left behind is collected.

use corten_cni_types::{Attachment, Protocol};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};

use crate::lab::{Host, ROOT, ask_tcp, mapping};

#[test]
fn gc_collects_what_a_reboot_left() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let (mut one, two) = (host.container("one"), host.container("two"));
        one.args = one.args.clone().with_port_mappings(&[mapping(8080, Protocol::Tcp)]);
        host.add(&one);
        host.add(&two);
        // The cache is gone: only the plugins know.
        std::fs::remove_dir_all(host.dir.path().join("results")).unwrap();
        let reserved = host.dir.path().join("networks/corten/10.42.0.99");
        std::fs::write(reserved, "").unwrap();
        let valid = [Attachment { container_id: "two".into(), ifname: "eth0".into() }];
        host.invoker.gc(&host.network, &valid).unwrap();
        assert_eq!(host.reservations(), ["10.42.0.3"]);
        ask_tcp("10.42.0.1:8080").unwrap_err();
        host.invoker.gc(&host.network, &[]).unwrap();
        assert_eq!(host.reservations(), Vec::<String>::new());
    });
}
