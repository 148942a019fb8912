//! The one small process of a pod.
