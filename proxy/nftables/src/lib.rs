//! The rule model as nf_tables objects, committed over netlink.
