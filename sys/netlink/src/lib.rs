//! rtnetlink, nf_tables and conntrack over plain, synchronous netlink sockets.
