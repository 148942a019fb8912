//! The Kubernetes Container Runtime Interface, v1, as gRPC messages, client and server.
