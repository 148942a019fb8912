//! Keeps the node's Service rules in step with the API server.
