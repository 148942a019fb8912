//! Images: what containers start from.
//!
//! An [`ImageStore`] is a folder. Layers are unpacked once, each into a folder named after the
//! digest of its content, and shared by all images that have them; a container's root file system
//! is an overlay of its image's layers with a writable folder on top. Content arrives from OCI
//! layouts, docker and OCI archives ([`ImageStore::import`]) and registries
//! ([`ImageStore::pull`]). Every byte is checked against its digest before an image refers to it.
//!
//! Everything in an image is hostile: a layer is unpacked by file descriptors that cannot leave
//! its folder, lengths and counts are bounded, and what a name means is decided here alone.
//!
//! Non-goals: building and pushing images. Privileges: root, to own files as the image says, to
//! make whiteouts and to mount.

mod decompress;
mod digest;
mod disk;
mod error;
mod hosts;
mod import;
mod layers;
mod name;
mod pull;
mod record;
mod snapshot;
mod store;
mod unpack;

pub use digest::{Digest, InvalidDigest};
pub use disk::Usage;
pub use error::ImageError;
pub use import::Source;
pub use name::{InvalidName, Reference};
pub use oci_spec::image::Config as ImageConfig;
pub use pull::Auth;
pub use record::{Image, ImageId};
pub use store::{Config, ImageStore};
