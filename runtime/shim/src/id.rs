//! Ids become names of files: what is allowed in them is little.

use crate::fault::invalid;
use crate::protocol::Fault;

/// NAME_MAX less room for a prefix.
const ID_BYTES_MAX: usize = 250;

/// Checks a container's, exec's or sandbox's id: `[A-Za-z0-9+._-]{1,250}`, no dot at its beginning.
pub(crate) fn check(what: &str, id: &str) -> Result<(), Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte);
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.starts_with('.') || !id.bytes().all(allowed) {
        let shown: String = id.chars().take(64).collect();
        return Err(invalid(
            "check",
            what,
            format!("{shown:?} is not [A-Za-z0-9+_-][A-Za-z0-9+._-]*"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_that_would_be_paths_are_refused() {
        for id in ["", ".", "..", "a/b", "../a", "a\0", "a b", "ä", "%a", &"x".repeat(251)] {
            super::check("container_id", id).unwrap_err();
        }
        for id in ["a", "3f2a", "A-b_c.d+e"] {
            super::check("container_id", id).unwrap();
        }
    }
}
