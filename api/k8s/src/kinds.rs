//! The kinds that are served: names, verbs, subresources, schema.

mod convert;
mod table;

pub use convert::convert;
pub use table::KINDS;

use crate::schema::Type;

/// One served kind in one version.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for core.
    pub group: &'static str,
    /// API version, e.g. `v1`.
    pub version: &'static str,
    /// Kind, e.g. `Pod`.
    pub kind: &'static str,
    /// Kind of the list, e.g. `PodList`; empty for what cannot be listed.
    pub list_kind: &'static str,
    /// Resource name, e.g. `pods`; empty for a [`Role::Body`].
    pub plural: &'static str,
    /// Singular resource name, e.g. `pod`.
    pub singular: &'static str,
    /// Short names, e.g. `po`.
    pub short_names: &'static [&'static str],
    /// Categories, e.g. `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Verbs on the resource itself, sorted.
    pub verbs: &'static [&'static str],
    /// Subresources, sorted.
    pub subresources: &'static [Subresource],
    /// What becomes of objects of this kind.
    pub role: Role,
    /// Its fields.
    pub schema: &'static Type,
}

/// What becomes of objects of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Stored, under the resource of that group and name. Two kinds that share it are two views of
    /// the same objects (see [`convert`]); the one of the same group is the form that is stored.
    Stored {
        /// Group of the storage resource.
        group: &'static str,
        /// Name of the storage resource.
        plural: &'static str,
    },
    /// Created to be answered, never stored (reviews, bindings).
    Review,
    /// Only the body of a subresource; no resource of its own.
    Body,
}

/// A subresource of a kind.
#[derive(Debug)]
pub struct Subresource {
    /// Name, e.g. `status`.
    pub name: &'static str,
    /// Group of the kind the endpoint speaks.
    pub group: &'static str,
    /// Version of the kind the endpoint speaks.
    pub version: &'static str,
    /// Kind the endpoint speaks.
    pub kind: &'static str,
    /// Verbs, sorted.
    pub verbs: &'static [&'static str],
}

impl Kind {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        group_version(self.group, self.version)
    }

    /// `pods`, `deployments.apps`.
    pub fn group_resource(&self) -> String {
        qualified(self.plural, self.group)
    }

    /// `Pod`, `Deployment.apps`.
    pub fn qualified_kind(&self) -> String {
        qualified(self.kind, self.group)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        let all: &'static [Subresource] = self.subresources;
        all.iter().find(|s| s.name == name)
    }

    /// Whether objects of this kind are stored.
    pub fn is_stored(&self) -> bool {
        matches!(self.role, Role::Stored { .. })
    }

    /// The kind in whose form objects of this kind are stored: itself, but for the second view of
    /// shared storage.
    pub fn storage_kind(&'static self) -> &'static Kind {
        let Role::Stored { group, plural } = self.role else { return self };
        if (group, plural) == (self.group, self.plural) {
            return self;
        }
        KINDS.iter().find(|k| (k.group, k.plural) == (group, plural)).unwrap_or(self)
    }
}

/// `v1`, `apps/v1`.
pub fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// Every kind, in discovery order.
pub fn all() -> &'static [Kind] {
    KINDS
}

/// The kind served as that resource.
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS
        .iter()
        .find(|k| !plural.is_empty() && (k.group, k.version, k.plural) == (group, version, plural))
}

/// The kind of that group, version and kind.
pub fn by_gvk(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| (k.group, k.version, k.kind) == (group, version, kind))
}

/// The kind of that `apiVersion` and `kind`.
pub fn by_api_version(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    by_gvk(group, version, kind)
}

/// The served groups with their versions, preferred first; core is the empty name.
pub fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut out: Vec<(&str, Vec<&str>)> = Vec::new();
    for kind in KINDS.iter().filter(|k| !k.plural.is_empty()) {
        match out.iter_mut().find(|(group, _)| *group == kind.group) {
            Some((_, versions)) if versions.contains(&kind.version) => {}
            Some((_, versions)) => versions.push(kind.version),
            None => out.push((kind.group, vec![kind.version])),
        }
    }
    out
}

#[cfg(test)]
mod tests;
