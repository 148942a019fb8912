//! The schema table: what fields each built-in type has, of what type, and how lists merge.
//!
//! The table itself is generated (`gen/`, from the JSON schemas of Kubernetes 1.36); this module
//! is its shape and its look-ups.

use std::fmt;

use crate::generated::TYPES;

/// A struct of the Kubernetes API.
pub struct Type {
    /// The OpenAPI definition's name, e.g. `io.k8s.api.core.v1.PodSpec`.
    pub name: &'static str,
    /// Its fields, sorted by name.
    pub fields: &'static [Field],
    /// The (group, version, kind) triples under which the type is served; empty for inner types.
    pub gvks: &'static [(&'static str, &'static str, &'static str)],
    /// Whether a patch or apply replaces the whole struct (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
}

/// One field of a [`Type`].
#[derive(Clone, Copy)]
pub struct Field {
    /// The JSON name.
    pub name: &'static str,
    /// The value's type.
    pub ty: FieldType,
    /// Whether the schema lists the field as required.
    pub required: bool,
    /// How a list is keyed for server-side apply; `None` when it is no list or unspecified.
    pub list: Option<ListType>,
    /// Whether a map is replaced as a whole by server-side apply.
    pub map_atomic: bool,
    /// Strategic merge: the list is merged by [`Field::merge_key`] (or as a set of primitives).
    pub patch_merge: bool,
    /// Strategic merge: `$retainKeys` is honoured.
    pub patch_retain_keys: bool,
    /// Strategic merge: the value is replaced even though it is a map.
    pub patch_replace: bool,
    /// Strategic merge: the key that identifies a list's elements, empty for primitives.
    pub merge_key: &'static str,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// Unique scalars.
    Set,
    /// Unique structs, identified by the named fields.
    Map(&'static [&'static str]),
}

/// The type of a field's value.
#[derive(Clone, Copy)]
pub enum FieldType {
    /// JSON boolean.
    Bool,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// Floating-point number.
    Double,
    /// String.
    Str,
    /// Base64-encoded bytes.
    Bytes,
    /// RFC 3339 time, whole seconds.
    Time,
    /// RFC 3339 time, microseconds.
    MicroTime,
    /// Quantity: string or number.
    Quantity,
    /// Integer or string.
    IntOrString,
    /// A struct.
    Obj(&'static Type),
    /// A list.
    List(&'static FieldType),
    /// A map from strings.
    Map(&'static FieldType),
    /// Any JSON; the name of its OpenAPI definition (empty when it has none).
    Any(&'static str),
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Types are recursive (JSONSchemaProps), so only the name is shown.
        write!(f, "Type({})", self.name)
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({}: {})", self.name, self.ty.go_name())
    }
}

impl fmt::Debug for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.go_name())
    }
}

impl Type {
    pub(crate) const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        Type { name, fields, gvks: &[], atomic: false }
    }

    pub(crate) const fn gvks(
        mut self,
        gvks: &'static [(&'static str, &'static str, &'static str)],
    ) -> Self {
        self.gvks = gvks;
        self
    }

    pub(crate) const fn atomic(mut self) -> Self {
        self.atomic = true;
        self
    }

    /// The field of that JSON name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let fields: &'static [Field] = self.fields;
        let index = fields.binary_search_by(|f| f.name.cmp(name)).ok()?;
        fields.get(index)
    }

    /// The last part of the name, e.g. `PodSpec`.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// The name a Go client would print, e.g. `v1.PodSpec`.
    pub fn go_name(&self) -> String {
        let mut parts = self.name.rsplit('.');
        let name = parts.next().unwrap_or_default();
        let package = parts.next().unwrap_or_default();
        format!("{package}.{name}")
    }
}

impl Field {
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) const fn list_atomic(mut self) -> Self {
        self.list = Some(ListType::Atomic);
        self
    }

    pub(crate) const fn list_set(mut self) -> Self {
        self.list = Some(ListType::Set);
        self
    }

    pub(crate) const fn list_map(mut self, keys: &'static [&'static str]) -> Self {
        self.list = Some(ListType::Map(keys));
        self
    }

    pub(crate) const fn map_atomic(mut self) -> Self {
        self.map_atomic = true;
        self
    }

    pub(crate) const fn patch_merge(mut self, key: &'static str) -> Self {
        self.patch_merge = true;
        self.merge_key = key;
        self
    }

    pub(crate) const fn patch_retain_keys(mut self) -> Self {
        self.patch_retain_keys = true;
        self
    }

    pub(crate) const fn patch_replace(mut self) -> Self {
        self.patch_replace = true;
        self
    }
}

impl FieldType {
    /// The Go type's name, as it stands in a decoding error.
    pub fn go_name(&self) -> String {
        match self {
            FieldType::Bool => "bool".to_owned(),
            FieldType::Int32 => "int32".to_owned(),
            FieldType::Int64 => "int64".to_owned(),
            FieldType::Double => "float64".to_owned(),
            FieldType::Str => "string".to_owned(),
            FieldType::Bytes => "[]uint8".to_owned(),
            FieldType::Time => "v1.Time".to_owned(),
            FieldType::MicroTime => "v1.MicroTime".to_owned(),
            FieldType::Quantity => "resource.Quantity".to_owned(),
            FieldType::IntOrString => "intstr.IntOrString".to_owned(),
            FieldType::Obj(ty) => ty.go_name(),
            FieldType::List(item) => format!("[]{}", item.go_name()),
            FieldType::Map(FieldType::Quantity) => "v1.ResourceList".to_owned(),
            FieldType::Map(value) => format!("map[string]{}", value.go_name()),
            FieldType::Any(_) => "interface {}".to_owned(),
        }
    }
}

pub(crate) const fn field(name: &'static str, ty: FieldType) -> Field {
    Field {
        name,
        ty,
        required: false,
        list: None,
        map_atomic: false,
        patch_merge: false,
        patch_retain_keys: false,
        patch_replace: false,
        merge_key: "",
    }
}

/// Every type of the table, sorted by name.
pub fn all() -> &'static [&'static Type] {
    TYPES
}

/// The type of that OpenAPI definition name.
pub fn by_name(name: &str) -> Option<&'static Type> {
    TYPES.binary_search_by(|t| t.name.cmp(name)).ok().and_then(|i| TYPES.get(i).copied())
}

/// The type served as that group, version and kind (`""` is the core group).
pub fn by_gvk(group: &str, version: &str, kind: &str) -> Option<&'static Type> {
    TYPES.iter().find(|t| t.gvks.len() < 4 && t.gvks.contains(&(group, version, kind))).copied()
}
