//! Labels of security modules.

use serde_json::json;

use crate::world::{World, chain, need_containers};

fn apparmor() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with('Y'))
}

fn selinux() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}

/// A label without its module would look like protection. Where the module is on, a profile that
/// was never loaded fails as loudly.
#[test]
fn a_label_that_nothing_enforces_is_named() {
    need_containers!();
    for (parent, name, value) in [
        ("/process", "apparmorProfile", "corten-absent"),
        ("/process", "selinuxLabel", "a:b:c:s0"),
        ("/linux", "mountLabel", "a:b:c:s0"),
    ] {
        let mut world = World::new("true");
        world.spec.pointer_mut(parent).unwrap()[name] = json!(value);
        let error = world.create_error();
        let on = if name == "apparmorProfile" { apparmor() } else { selinux() };
        if !on {
            let field = format!("{}.{name} is not supported", parent.trim_start_matches('/'));
            assert!(error.contains(&field) && error.contains("is not enabled"), "{error}");
        }
        world.states.load(&world.id).unwrap_err();
    }
}

#[test]
fn an_exec_with_a_label_that_nothing_enforces_fails() {
    need_containers!();
    let world = World::new("sleep 1000");
    let _first = world.begin();
    let mut process = world.spec["process"].clone();
    process["apparmorProfile"] = json!("corten-absent");
    let error = chain(&world.try_exec(process).unwrap_err());
    let expected = if apparmor() { "tell AppArmor to" } else { "process.apparmorProfile" };
    assert!(error.contains(expected), "{error}");
}

#[test]
fn unconfined_is_what_everything_is_without_apparmor() {
    need_containers!();
    let mut world = World::new("echo ran");
    world.spec["process"]["apparmorProfile"] = json!("unconfined");
    assert_eq!(world.output_of_run(), "ran\n");
}
