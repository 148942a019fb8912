//! Runs the plugins of a CNI network configuration list.
