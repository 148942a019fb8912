//! Services and endpoints to a rule model: pure.
