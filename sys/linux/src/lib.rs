//! The kernel edge: every system call that needs `unsafe`, wrapped once over owned file descriptors.
