//! Names that the server makes up.

use rand::RngExt as _;

/// Without vowels and look-alikes, so that no words and no mistakes come out.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LEN: usize = 5;
const NAME_LEN_MAX: usize = 63;

/// A name that starts with `base` (`metadata.generateName`).
pub(crate) fn generate(base: &str) -> String {
    let room = NAME_LEN_MAX - SUFFIX_LEN;
    let mut end = base.len().min(room);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base.get(..end).unwrap_or_default().to_owned();
    let mut random = rand::rng();
    for _ in 0..SUFFIX_LEN {
        let index = random.random_range(0..ALPHABET.len());
        name.extend(ALPHABET.get(index).map(|byte| char::from(*byte)));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_base_is_cut() {
        let name = generate(&"a".repeat(100));
        assert_eq!(name.len(), 63);
        assert_ne!(generate("web-"), generate("web-"));
        assert!(generate("web-").starts_with("web-"));
    }
}
