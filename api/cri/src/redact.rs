//! `Debug` for messages that hold secrets, so that no log line ever does.

use std::fmt;

use crate::v1::AuthConfig;

impl fmt::Debug for AuthConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::PullImageRequest;

    #[test]
    fn no_secret_is_printed_even_inside_a_request() {
        let auth = AuthConfig {
            username: "someone".to_owned(),
            password: "s3cret".to_owned(),
            auth: "s3cret".to_owned(),
            server_address: "registry.example".to_owned(),
            identity_token: "s3cret".to_owned(),
            registry_token: "s3cret".to_owned(),
        };
        let text = format!("{:?}", PullImageRequest { auth: Some(auth), ..Default::default() });
        assert!(text.contains("someone") && text.contains("registry.example"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
