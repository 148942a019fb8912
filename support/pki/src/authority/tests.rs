use super::*;

fn request(common_name: &str) -> Request {
    Request {
        common_name: common_name.to_owned(),
        organization: Some("system:nodes".to_owned()),
        sans: vec![San::Ip([127, 0, 0, 1].into()), San::Dns("localhost".to_owned())],
        usage: Usage::Both,
        lifetime: Duration::from_secs(3600),
    }
}

#[test]
fn a_certificate_says_who_it_was_issued_to() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(folder.path(), "ca", "test").unwrap();
    let issued = authority.issue(&request("system:node:n1")).unwrap();
    let der = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
    let subject = client_subject(&der).unwrap();
    assert_eq!(subject.common_name, "system:node:n1");
    assert_eq!(subject.organizations, ["system:nodes"]);
}

#[test]
fn an_issued_certificate_is_reused_until_what_it_says_changes() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(folder.path(), "ca", "test").unwrap();
    let first = authority.issue_to(&request("a"), folder.path(), "leaf").unwrap();
    let again = Authority::load_or_create(folder.path(), "ca", "test").unwrap();
    let second = again.issue_to(&request("a"), folder.path(), "leaf").unwrap();
    assert_eq!(first.certificate_pem, second.certificate_pem);
    let mut moved = request("a");
    moved.sans.push(San::Ip([10, 43, 0, 1].into()));
    let third = again.issue_to(&moved, folder.path(), "leaf").unwrap();
    assert_ne!(second.certificate_pem, third.certificate_pem);
}

#[test]
fn a_certificate_of_another_authority_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let one = Authority::load_or_create(folder.path(), "one", "test").unwrap();
    let two = Authority::load_or_create(folder.path(), "two", "test").unwrap();
    let first = one.issue_to(&request("a"), folder.path(), "leaf").unwrap();
    let second = two.issue_to(&request("a"), folder.path(), "leaf").unwrap();
    assert_ne!(first.certificate_pem, second.certificate_pem);
}

#[test]
fn an_authority_without_its_key_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(Authority::load_or_create(folder.path(), "ca", "test").unwrap());
    std::fs::remove_file(folder.path().join("ca.key")).unwrap();
    let error = Authority::load_or_create(folder.path(), "ca", "test").unwrap_err();
    assert!(error.to_string().contains("ca.key is not usable"), "{error}");
}

#[test]
fn keys_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    drop(Authority::load_or_create(folder.path(), "ca", "test").unwrap());
    let mode = std::fs::metadata(folder.path().join("ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_server_can_be_set_up_with_what_was_issued() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(folder.path(), "ca", "test").unwrap();
    let issued = authority.issue(&request("server")).unwrap();
    let ca = Some(authority.certificate_pem());
    let config = crate::server_config(&issued.certificate_pem, &issued.key_pem, ca);
    assert!(config.is_ok(), "{config:?}");
    let swapped = crate::server_config(&issued.key_pem, &issued.certificate_pem, ca).unwrap_err();
    assert!(swapped.to_string().contains("the server's certificate"), "{swapped}");
}
