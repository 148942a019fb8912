//! Which plugins run, and in which order.

mod default_binder;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod scheduling_gates;
mod taint_toleration;
mod unhonoured;

use crate::framework::{Bind, Filter, Plugin, PreEnqueue, PreFilter, Score};

use default_binder::DefaultBinder;
use node_affinity::NodeAffinity;
use node_name::NodeName;
use node_ports::NodePorts;
use node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
use node_resources_fit::NodeResourcesFit;
use node_unschedulable::NodeUnschedulable;
use scheduling_gates::SchedulingGates;
use taint_toleration::TaintToleration;
use unhonoured::Unhonoured;

pub use unhonoured::ignored_preferences;

/// May the pod be queued?
pub const PRE_ENQUEUE: &[&dyn PreEnqueue] = &[&SchedulingGates];
/// Which nodes come into question?
pub const PRE_FILTER: &[&dyn PreFilter] = &[&Unhonoured, &NodeAffinity];
/// Does it fit? The first that says no is the one whose reason is shown.
pub const FILTER: &[&dyn Filter] = &[
    &NodeUnschedulable,
    &NodeName,
    &TaintToleration,
    &NodeAffinity,
    &NodePorts,
    &NodeResourcesFit,
];
/// Which is best? With the weight of each.
pub const SCORE: &[(&dyn Score, i64)] = &[
    (&TaintToleration, 3),
    (&NodeAffinity, 2),
    (&NodeResourcesFit, 1),
    (&NodeResourcesBalancedAllocation, 1),
];
/// Writes the binding.
pub const BIND: &dyn Bind = &DefaultBinder;

/// The plugin of that name, wherever it takes part.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Plugin> {
    let pre_filter = PRE_FILTER.iter().map(|plugin| *plugin as &dyn Plugin);
    let filter = FILTER.iter().map(|plugin| *plugin as &dyn Plugin);
    pre_filter.chain(filter).find(|plugin| plugin.name() == name)
}
