//! A process that joins namespaces and makes the one that stays, inside them.
//!
//! New namespaces belong to the user namespace that their maker is in, and a pid namespace is for
//! children only: so whoever joins a user namespace has to make one more process there. That one is
//! the parent's child as well (`CLONE_PARENT`), and this one ends.

use std::os::fd::AsFd as _;

use corten_sys_linux::clone::{CloneArgs, Namespaces, clone3_plain};
use corten_sys_linux::ns::{self, Kind};
use rustix::process::DumpableBehavior;

use super::report::{At as _, Outcome, SECOND, Step, say_with};
use super::{Common, Prepared, Target, join_cgroups, run_exec, run_init, wait_for_parent};
use crate::plan::Plan;

/// Makes a container's first process. `user_first`: the rights to join come with the user
/// namespace; else they are the host's, and go with it.
pub(super) fn init<'a>(
    common: &'a Common<'_>,
    plan: &'a Plan,
    prepared: &'a Prepared,
    user_first: bool,
) -> Outcome<'a, ()> {
    begin(common)?;
    let enter = |user: bool| {
        prepared.join.iter().filter(|(kind, _)| (*kind == Kind::User) == user).try_for_each(
            |(kind, namespace)| {
                ns::enter(namespace.as_fd(), *kind).at(Step::Setns, kind.name().as_bytes())
            },
        )
    };
    enter(user_first)?;
    enter(!user_first)?;
    // The cgroup and time namespaces are the process's own to make.
    let namespaces = plan.namespaces.new.without(Namespaces::CGROUP).without(Namespaces::TIME);
    let args = CloneArgs { namespaces, callers_parent: true, into_cgroup: None };
    let made = clone3_plain(&args, || run_init(common, plan, prepared))
        .at(Step::Clone, b"new namespaces")?;
    say_with(common.sync.get(), SECOND, made.pidfd.as_fd()).at(Step::Wait, b"parent")
}

/// Makes one more process in a container.
pub(super) fn exec<'a>(common: &'a Common<'_>, target: &Target<'_>) -> Outcome<'a, ()> {
    begin(common)?;
    target.enter()?;
    let args = CloneArgs { callers_parent: true, ..CloneArgs::default() };
    let made = clone3_plain(&args, || run_exec(common, target))
        .at(Step::Clone, b"the container's namespaces")?;
    say_with(common.sync.get(), SECOND, made.pidfd.as_fd()).at(Step::Wait, b"parent")
}

fn begin<'a>(common: &'a Common<'_>) -> Outcome<'a, ()> {
    wait_for_parent(common.sync.get(), b"parent")?;
    join_cgroups(common)?;
    // Others in the user namespace that this process comes into must not look into it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Step::Dumpable, b"")
}
