//! Kubernetes API facts as data: kinds, schemas, quantities, selectors, metadata, patches.
