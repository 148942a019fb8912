use serde_json::json;

use super::*;

const NOW: Duration = Duration::from_secs(100);

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    let pod = json!({
        "metadata": { "name": name, "uid": name },
        "spec": { "containers": [], "priority": priority },
    });
    Arc::new(PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap())).unwrap())
}

fn popped(queue: &mut Queue, now: Duration) -> Option<String> {
    queue.pop(now).map(|attempt| attempt.pod.uid.0.clone())
}

#[test]
fn higher_priority_first_then_who_came_first() {
    let mut queue = Queue::default();
    queue.add(pod("late", 0), false, NOW + Duration::from_secs(1));
    queue.add(pod("early", 0), false, NOW);
    queue.add(pod("important", 5), false, NOW + Duration::from_secs(2));
    let now = NOW + Duration::from_secs(3);
    assert_eq!(popped(&mut queue, now).as_deref(), Some("important"));
    assert_eq!(popped(&mut queue, now).as_deref(), Some("early"));
    assert_eq!(popped(&mut queue, now).as_deref(), Some("late"));
    assert!(queue.is_empty());
}

#[test]
fn a_rejected_pod_sleeps_until_something_helps() {
    let mut queue = Queue::default();
    queue.add(pod("p", 0), false, NOW);
    let attempt = queue.pop(NOW).unwrap();
    queue.reject(attempt, BTreeSet::from(["NodeAffinity"]), NOW);
    // A pod that leaves doesn't change labels of nodes.
    let later = NOW + Duration::from_secs(5);
    queue.happened(ClusterEvent::PlacedPodRemoved, later);
    assert_eq!(popped(&mut queue, later), None);
    queue.happened(ClusterEvent::Node, later);
    assert_eq!(popped(&mut queue, later).as_deref(), Some("p"));
}

#[test]
fn an_early_wake_waits_for_the_back_off() {
    let mut queue = Queue::default();
    queue.add(pod("p", 0), false, NOW);
    let attempt = queue.pop(NOW).unwrap();
    queue.reject(attempt, BTreeSet::from(["NodeResourcesFit"]), NOW);
    queue.happened(ClusterEvent::PlacedPodRemoved, NOW);
    assert_eq!(popped(&mut queue, NOW), None);
    assert_eq!(queue.wake_at(), Some(NOW + BACKOFF_INITIAL));
    assert_eq!(popped(&mut queue, NOW + BACKOFF_INITIAL).as_deref(), Some("p"));
}

#[test]
fn a_rejected_pod_is_tried_again_in_the_end() {
    let mut queue = Queue::default();
    queue.add(pod("p", 0), false, NOW);
    let attempt = queue.pop(NOW).unwrap();
    queue.reject(attempt, BTreeSet::from(["Unhonoured"]), NOW);
    queue.happened(ClusterEvent::Node, NOW + Duration::from_secs(20));
    assert_eq!(queue.wake_at(), Some(NOW + UNSCHEDULABLE_MAX));
    assert_eq!(popped(&mut queue, NOW + UNSCHEDULABLE_MAX).as_deref(), Some("p"));
}

#[test]
fn a_change_of_the_specification_wakes() {
    let mut queue = Queue::default();
    queue.add(pod("p", 0), false, NOW);
    let attempt = queue.pop(NOW).unwrap();
    queue.reject(attempt, BTreeSet::from(["Unhonoured"]), NOW);
    let later = NOW + Duration::from_secs(2);
    queue.add(pod("p", 0), false, later);
    assert_eq!(popped(&mut queue, later), None);
    queue.add(pod("p", 0), true, later);
    assert_eq!(popped(&mut queue, later).as_deref(), Some("p"));
}

#[test]
fn back_off_doubles_up_to_its_limit() {
    let seconds: Vec<u64> = (1..8).map(|attempts| backoff(attempts).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10]);
}

#[test]
fn a_removed_pod_does_not_come_back() {
    let mut queue = Queue::default();
    queue.add(pod("p", 0), false, NOW);
    let attempt = queue.pop(NOW).unwrap();
    queue.retry(attempt, NOW);
    queue.remove(&PodUid("p".to_owned()));
    assert_eq!(queue.wake_at(), None);
    assert_eq!(popped(&mut queue, NOW + BACKOFF_MAX), None);
}
