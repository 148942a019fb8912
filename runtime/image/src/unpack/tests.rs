use super::*;
use corten_tests_harness::{is_root, skip_unless};
use tar::{Builder, Header};

const NEEDS_ROOT: &str = "a layer's files belong to whom it says, which needs root";

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header
}

fn file(tar: &mut Builder<Vec<u8>>, path: &str, content: &str) {
    let mut header = header(EntryType::Regular, content.len() as u64);
    // Written into the header itself: the builder refuses what an attacker would not.
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    tar.append(&header, content.as_bytes()).unwrap();
}

fn link(tar: &mut Builder<Vec<u8>>, kind: EntryType, path: &str, target: &str) {
    let mut header = header(kind, 0);
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    tar.append(&header, &[][..]).unwrap();
}

/// Unpacks into `<folder>/layer`, so that what escapes is seen in `folder`.
fn unpacked(tar: Builder<Vec<u8>>) -> (tempfile::TempDir, Result<(), Failed>) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("layer");
    std::fs::create_dir(&target).unwrap();
    let outcome = unpack(&tar.into_inner().unwrap()[..], &target);
    (folder, outcome)
}

#[test]
fn files_folders_links_and_times_are_as_the_layer_says() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let mut tar = Builder::new(Vec::new());
    file(&mut tar, "usr/bin/tool", "content");
    link(&mut tar, EntryType::Symlink, "bin", "usr/bin");
    link(&mut tar, EntryType::Link, "usr/bin/same", "usr/bin/tool");
    let (folder, outcome) = unpacked(tar);
    outcome.unwrap();
    let layer = folder.path().join("layer");
    assert_eq!(std::fs::read_to_string(layer.join("bin/same")).unwrap(), "content");
    assert_eq!(std::fs::read_link(layer.join("bin")).unwrap(), Path::new("usr/bin"));
    let modified = std::fs::metadata(layer.join("usr/bin/tool")).unwrap().modified().unwrap();
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_secs(), 1_000_000_000);
}

#[test]
fn a_name_with_dots_is_refused() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let mut tar = Builder::new(Vec::new());
    file(&mut tar, "../escaped", "x");
    let (folder, outcome) = unpacked(tar);
    assert_eq!(outcome.unwrap_err().entry, "../escaped");
    assert!(!folder.path().join("escaped").exists());
}

#[test]
fn a_symbolic_link_does_not_lead_outside() {
    skip_unless!(is_root(), NEEDS_ROOT);
    for target in ["..", "/", "../../../../../../.."] {
        let mut tar = Builder::new(Vec::new());
        link(&mut tar, EntryType::Symlink, "out", target);
        file(&mut tar, "out/corten-unpack-escaped", "x");
        let (folder, outcome) = unpacked(tar);
        outcome.unwrap();
        let escaped = "corten-unpack-escaped";
        assert!(!folder.path().join(escaped).exists(), "{target}");
        assert!(!Path::new("/").join(escaped).exists(), "{target}");
        assert!(folder.path().join("layer").join(escaped).exists(), "{target}");
    }
}

#[test]
fn a_file_does_not_write_through_a_link_of_its_name() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let victim = tempfile::NamedTempFile::new().unwrap();
    let mut tar = Builder::new(Vec::new());
    link(&mut tar, EntryType::Symlink, "passwd", victim.path().to_str().unwrap());
    file(&mut tar, "passwd", "overwritten");
    let (folder, outcome) = unpacked(tar);
    outcome.unwrap();
    assert_eq!(std::fs::read_to_string(victim.path()).unwrap(), "");
    let own = std::fs::read_to_string(folder.path().join("layer/passwd")).unwrap();
    assert_eq!(own, "overwritten");
}

#[test]
fn a_hard_link_to_a_file_outside_is_refused() {
    skip_unless!(is_root(), NEEDS_ROOT);
    for target in ["/etc/passwd", "../../etc/passwd"] {
        let mut tar = Builder::new(Vec::new());
        link(&mut tar, EntryType::Link, "stolen", target);
        let (_folder, outcome) = unpacked(tar);
        assert_eq!(outcome.unwrap_err().entry, "stolen", "{target}");
    }
}

#[test]
fn whiteouts_become_those_of_overlayfs() {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    skip_unless!(is_root(), NEEDS_ROOT);
    let mut tar = Builder::new(Vec::new());
    file(&mut tar, "etc/.wh.gone", "");
    file(&mut tar, "var/.wh..wh..opq", "");
    let (folder, outcome) = unpacked(tar);
    outcome.unwrap();
    let layer = folder.path().join("layer");
    let gone = std::fs::symlink_metadata(layer.join("etc/gone")).unwrap();
    assert!(gone.file_type().is_char_device());
    assert_eq!(gone.rdev(), 0);
    let mut value = [0; 8];
    let name = "trusted.overlay.opaque";
    let length = rustix::fs::getxattr(layer.join("var"), name, &mut value).unwrap();
    assert_eq!(&value[..length], b"y");
}

#[test]
fn a_layer_cannot_set_attributes_of_the_overlay() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let mut tar = Builder::new(Vec::new());
    let smuggled = [("SCHILY.xattr.trusted.overlay.redirect", &b"/etc"[..])];
    tar.append_pax_extensions(smuggled).unwrap();
    file(&mut tar, "folder", "");
    let (_folder, outcome) = unpacked(tar);
    let error = outcome.unwrap_err().source.to_string();
    assert!(error.contains("trusted.overlay.redirect"), "{error}");
}

#[test]
fn a_later_entry_replaces_an_earlier_one_of_another_type() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let mut tar = Builder::new(Vec::new());
    file(&mut tar, "a/b", "1");
    file(&mut tar, "a", "now a file");
    let (folder, outcome) = unpacked(tar);
    outcome.unwrap();
    let content = std::fs::read_to_string(folder.path().join("layer/a")).unwrap();
    assert_eq!(content, "now a file");
}
