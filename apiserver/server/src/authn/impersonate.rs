//! Acting as somebody else (`kubectl --as`): who asks must have the verb `impersonate` on every
//! part of the identity that they ask for.

use std::collections::BTreeMap;

use corten_api_k8s::status::{self, Status};
use http::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::authz;
use crate::authz::rules::{Attributes, Target};
use crate::state::Api;
use crate::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User, service_account_of};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
/// Where the rights to impersonate uids and extras stand.
const EXTRA_API_GROUP: &str = "authentication.k8s.io";

/// The identity that a request asks for; nothing when it asks for none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// The user that a request is made as: `user`, or whom the headers name.
pub(crate) fn apply(api: &Api, user: User, headers: &HeaderMap) -> Result<User, Status> {
    let Some(wanted) = Wanted::read(headers)? else { return Ok(user) };
    for target in wanted.targets() {
        let attributes = Attributes { verb: "impersonate", target };
        if !api.rbac.allows(&*api.store, &user, &attributes) {
            return Err(authz::forbidden(&user, &attributes));
        }
    }
    tracing::debug!(user = user.name, as_user = wanted.name, "a request is made as somebody else");
    Ok(wanted.into_user())
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let mut wanted = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            if !name.starts_with("impersonate-") {
                continue;
            }
            let text = value.to_str().map_err(|_not_text| {
                status::bad_request(format!("the header {name} is not readable text"))
            })?;
            match name {
                USER => text.clone_into(&mut wanted.name),
                UID => text.clone_into(&mut wanted.uid),
                GROUP => wanted.groups.push(text.to_owned()),
                _ => {
                    // Ignoring a part would act with rights that the client did not mean.
                    let Some(key) = name.strip_prefix(EXTRA).filter(|key| !key.is_empty()) else {
                        return Err(status::bad_request(format!(
                            "the header {name} is not supported"
                        )));
                    };
                    let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
                    wanted.extra.entry(key).or_default().push(text.to_owned());
                }
            }
        }
        if wanted == Self::default() {
            return Ok(None);
        }
        if wanted.name.is_empty() {
            let why = "a group, uid or extra is to be impersonated without a user (kubectl's --as)";
            return Err(status::bad_request(why));
        }
        Ok(Some(wanted))
    }

    /// What `impersonate` must be allowed on.
    fn targets(&self) -> Vec<Target<'_>> {
        let of = |group, resource, subresource, name| Target::Resource {
            group,
            namespace: "",
            resource,
            subresource,
            name,
        };
        let mut out = vec![match service_account_of(&self.name) {
            Some((namespace, name)) => Target::Resource {
                group: "",
                namespace,
                resource: "serviceaccounts",
                subresource: "",
                name,
            },
            None => of("", "users", "", &self.name),
        }];
        out.extend(self.groups.iter().map(|group| of("", "groups", "", group)));
        for (key, values) in &self.extra {
            out.extend(values.iter().map(|value| of(EXTRA_API_GROUP, "userextras", key, value)));
        }
        if !self.uid.is_empty() {
            out.push(of(EXTRA_API_GROUP, "uids", "", &self.uid));
        }
        out
    }

    fn into_user(self) -> User {
        let mut groups = self.groups;
        if let (true, Some((namespace, _))) = (groups.is_empty(), service_account_of(&self.name)) {
            groups.push("system:serviceaccounts".to_owned());
            groups.push(format!("system:serviceaccounts:{namespace}"));
        }
        if !groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
            let group = if self.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
            groups.push(group.to_owned());
        }
        User { name: self.name, uid: self.uid, groups, extra: self.extra }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HeaderName, HeaderValue};

    fn read(headers: &[(&'static str, &'static str)]) -> Result<Option<Wanted>, Status> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Wanted::read(&map)
    }

    fn user(headers: &[(&'static str, &'static str)]) -> User {
        read(headers).unwrap().unwrap().into_user()
    }

    #[test]
    fn without_headers_nobody_is_impersonated() {
        assert_eq!(read(&[("accept", "a")]).unwrap(), None);
    }

    #[test]
    fn a_user_is_authenticated_unless_it_is_the_anonymous_one() {
        assert_eq!(user(&[(USER, "jane")]).groups, [AUTHENTICATED]);
        assert_eq!(user(&[(USER, "jane"), (GROUP, "a")]).groups, ["a", AUTHENTICATED]);
        assert_eq!(user(&[(USER, ANONYMOUS)]).groups, [UNAUTHENTICATED]);
        assert_eq!(user(&[(USER, "jane"), (GROUP, UNAUTHENTICATED)]).groups, [UNAUTHENTICATED]);
    }

    #[test]
    fn a_service_account_is_in_its_groups() {
        let headers = [(USER, "system:serviceaccount:n:a")];
        let groups = ["system:serviceaccounts", "system:serviceaccounts:n", AUTHENTICATED];
        assert_eq!(user(&headers).groups, groups);
        let wanted = read(&headers).unwrap().unwrap();
        let targets = format!("{:?}", wanted.targets());
        assert!(targets.contains(r#"namespace: "n", resource: "serviceaccounts""#), "{targets}");
    }

    #[test]
    fn every_part_needs_its_right() {
        let headers = [
            (USER, "jane"),
            (GROUP, "a"),
            (GROUP, "b"),
            (UID, "7"),
            ("impersonate-extra-acme.com%2fproject", "x"),
        ];
        let wanted = read(&headers).unwrap().unwrap();
        assert_eq!(wanted.targets().len(), 5);
        assert_eq!(wanted.extra["acme.com/project"], ["x"]);
    }

    #[test]
    fn groups_without_a_user_and_unknown_parts_are_refused() {
        assert_eq!(read(&[(GROUP, "a")]).unwrap_err().code, 400);
        assert_eq!(read(&[(USER, "a"), ("impersonate-colour", "red")]).unwrap_err().code, 400);
    }
}
