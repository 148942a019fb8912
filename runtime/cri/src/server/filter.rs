//! Which entries a list call asks for.

use std::collections::BTreeMap;

use corten_api_cri::v1::{
    Container, ContainerFilter, ContainerStatsFilter, PodSandbox, PodSandboxFilter,
    PodSandboxStatsFilter,
};

type Labels = BTreeMap<String, String>;

fn labels_match(wanted: &Labels, has: &Labels) -> bool {
    wanted.iter().all(|(name, value)| has.get(name) == Some(value))
}

/// An empty filter matches all; an id may be cut short.
fn id_matches(wanted: &str, id: &str) -> bool {
    id.starts_with(wanted)
}

pub(super) fn sandbox(filter: Option<&PodSandboxFilter>, item: &PodSandbox) -> bool {
    let Some(filter) = filter else { return true };
    id_matches(&filter.id, &item.id)
        && filter.state.as_ref().is_none_or(|wanted| wanted.state == item.state)
        && labels_match(&filter.label_selector, &item.labels)
}

pub(super) fn container(filter: Option<&ContainerFilter>, item: &Container) -> bool {
    let Some(filter) = filter else { return true };
    id_matches(&filter.id, &item.id)
        && id_matches(&filter.pod_sandbox_id, &item.pod_sandbox_id)
        && filter.state.as_ref().is_none_or(|wanted| wanted.state == item.state)
        && labels_match(&filter.label_selector, &item.labels)
}

pub(super) fn container_stats(filter: Option<&ContainerStatsFilter>, item: &Container) -> bool {
    let Some(filter) = filter else { return true };
    id_matches(&filter.id, &item.id)
        && id_matches(&filter.pod_sandbox_id, &item.pod_sandbox_id)
        && labels_match(&filter.label_selector, &item.labels)
}

pub(super) fn sandbox_stats(filter: Option<&PodSandboxStatsFilter>, item: &PodSandbox) -> bool {
    let Some(filter) = filter else { return true };
    id_matches(&filter.id, &item.id) && labels_match(&filter.label_selector, &item.labels)
}

#[cfg(test)]
mod tests {
    use corten_api_cri::v1::{ContainerState, ContainerStateValue};

    use super::*;

    #[test]
    fn every_part_of_a_filter_must_fit() {
        let item = Container {
            id: "abc".to_owned(),
            pod_sandbox_id: "def".to_owned(),
            state: ContainerState::ContainerRunning.into(),
            labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            ..Container::default()
        };
        assert!(container(None, &item));
        assert!(container(Some(&ContainerFilter::default()), &item));
        let filter = |change: fn(&mut ContainerFilter)| {
            let mut filter = ContainerFilter {
                id: "ab".to_owned(),
                pod_sandbox_id: "def".to_owned(),
                state: Some(ContainerStateValue { state: ContainerState::ContainerRunning.into() }),
                label_selector: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            };
            change(&mut filter);
            container(Some(&filter), &item)
        };
        assert!(filter(|_| ()));
        assert!(!filter(|filter| filter.id = "bc".to_owned()));
        assert!(!filter(|filter| filter.pod_sandbox_id = "x".to_owned()));
        assert!(!filter(|filter| filter.state = Some(ContainerStateValue::default())));
        assert!(!filter(|filter| {
            filter.label_selector.insert("app".to_owned(), "db".to_owned());
        }));
        assert!(!filter(|filter| {
            filter.label_selector.insert("tier".to_owned(), "web".to_owned());
        }));
    }
}
