//! kube client set-up and shared informers.
