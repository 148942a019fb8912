//! The store as its users see it: import, names, removal, root file systems.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test code")]

mod layout;

use corten_runtime_image::{Config, ImageError, ImageStore, Reference, Source};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};

const NEEDS_ROOT: &str = "layers are unpacked with the owners they name, which needs root";

struct Fixture {
    folder: tempfile::TempDir,
    store: ImageStore,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&folder.path().join("store"), Config::default()).unwrap();
        Self { folder, store }
    }

    fn import(&self, images: &[(&layout::Image, &str)]) -> Result<(), ImageError> {
        let path = self.folder.path().join("layout");
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        layout::write(&path, images);
        self.store.import(&Source::OciLayout(path), None).map(drop)
    }

    fn reopened(&self) -> ImageStore {
        ImageStore::open(&self.folder.path().join("store"), Config::default()).unwrap()
    }

    fn layers(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("store/layers")).unwrap().count()
    }
}

#[test]
fn an_imported_image_is_found_by_name_id_and_digest_after_a_restart() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let fixture = Fixture::new();
    let image = layout::image(&[layout::tar(&[("a", "1")])], "/a");
    fixture.import(&[(&image, "example.com/app:1")]).unwrap();
    let store = fixture.reopened();
    let digest = format!("example.com/app@{}", image.manifest["digest"].as_str().unwrap());
    for name in ["example.com/app:1", image.id.as_str(), &image.id.hex()[..12], &digest] {
        let found = store.resolve(name).unwrap().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(found.id, image.id);
        assert_eq!(found.config.cmd(), &Some(vec!["/a".to_owned()]));
    }
    assert!(store.resolve("example.com/app:2").unwrap().is_none());
}

#[test]
fn damaged_content_is_refused_and_nothing_stays() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let fixture = Fixture::new();
    let mut image = layout::image(&[layout::tar(&[("a", "1")])], "/a");
    let other = layout::image(&[layout::tar(&[("a", "2")])], "/a");
    image.blobs[0].1 = other.blobs[0].1.clone();
    let error = fixture.import(&[(&image, "example.com/app:1")]).unwrap_err();
    assert!(matches!(error, ImageError::Mismatch { .. }), "{error}");
    assert!(fixture.store.list().is_empty());
    assert_eq!(fixture.layers(), 0);
}

#[test]
fn a_tag_moves_to_the_image_that_was_imported_last() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let fixture = Fixture::new();
    let one = layout::image(&[layout::tar(&[("a", "1")])], "/a");
    let two = layout::image(&[layout::tar(&[("a", "2")])], "/a");
    fixture.import(&[(&one, "example.com/app:1")]).unwrap();
    fixture.import(&[(&two, "example.com/app:1")]).unwrap();
    let store = fixture.reopened();
    assert_eq!(store.resolve("example.com/app:1").unwrap().unwrap().id, two.id);
    assert!(store.resolve(one.id.as_str()).unwrap().unwrap().repo_tags.is_empty());
}

#[test]
fn shared_layers_are_kept_once_and_as_long_as_an_image_needs_them() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let fixture = Fixture::new();
    let base = layout::tar(&[("base", "1")]);
    let one = layout::image(std::slice::from_ref(&base), "/one");
    let two = layout::image(&[base, layout::tar(&[("top", "1")])], "/two");
    fixture.import(&[(&one, "example.com/one:1"), (&two, "example.com/two:1")]).unwrap();
    assert_eq!(fixture.layers(), 2);
    assert!(fixture.store.remove("example.com/two:1").unwrap());
    assert_eq!(fixture.layers(), 1);
    assert!(fixture.store.remove(one.id.as_str()).unwrap());
    assert_eq!(fixture.layers(), 0);
    assert!(!fixture.store.remove("example.com/one:1").unwrap());
}

#[test]
fn a_docker_archive_is_imported_with_its_tags() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let fixture = Fixture::new();
    let layer = layout::tar(&[("a", "1")]);
    let image = layout::image(std::slice::from_ref(&layer), "/a");
    let config = format!("{}.json", image.id.hex());
    let manifest = serde_json::json!([
        { "Config": config, "RepoTags": ["app:1"], "Layers": ["abc/layer.tar"] }
    ]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let archive = layout::tar(&[
        (&config, &text(&image.config_text)),
        ("abc/layer.tar", &text(&layer)),
        ("manifest.json", &manifest.to_string()),
    ]);
    let path = fixture.folder.path().join("image.tar");
    std::fs::write(&path, archive).unwrap();
    let imported = fixture.store.import(&Source::Archive(path), None).unwrap();
    assert_eq!(imported[0].id, image.id);
    assert_eq!(imported[0].repo_tags, ["docker.io/library/app:1"]);
}

#[test]
fn an_archive_that_is_no_image_is_named() {
    let fixture = Fixture::new();
    let path = fixture.folder.path().join("other.tar");
    std::fs::write(&path, layout::tar(&[("readme", "hello")])).unwrap();
    let error = fixture.store.import(&Source::Archive(path), None).unwrap_err().to_string();
    assert!(error.ends_with("other.tar has no file manifest.json"), "{error}");
}

#[test]
fn a_name_replaces_the_one_that_an_archive_brings() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let fixture = Fixture::new();
    let image = layout::image(&[layout::tar(&[("a", "1")])], "/a");
    let path = fixture.folder.path().join("named");
    layout::write(&path, &[(&image, "example.com/app:1")]);
    let name = Reference::parse("local/mine:2").unwrap();
    let imported = fixture.store.import(&Source::OciLayout(path), Some(&name)).unwrap();
    assert_eq!(imported[0].repo_tags, ["docker.io/local/mine:2"]);
}

#[test]
fn a_root_file_system_shows_the_layers_and_keeps_writes_apart() {
    skip_unless!(is_root(), NEEDS_ROOT);
    in_new_namespaces(NamespaceOptions { net: false, cgroup: false }, || {
        let fixture = Fixture::new();
        let below = layout::tar(&[("both", "below"), ("hidden", "x")]);
        let above = layout::tar(&[("both", "above"), (".wh.hidden", "")]);
        let image = layout::image(&[below, above], "/a");
        fixture.import(&[(&image, "example.com/app:1")]).unwrap();
        let one = fixture.folder.path().join("one");
        let two = fixture.folder.path().join("two");
        fixture.store.mount_rootfs(&image.id, "one", &one).unwrap();
        fixture.store.mount_rootfs(&image.id, "two", &two).unwrap();
        assert_eq!(std::fs::read_to_string(one.join("both")).unwrap(), "above");
        assert!(!one.join("hidden").exists());
        std::fs::write(one.join("both"), "changed").unwrap();
        assert_eq!(std::fs::read_to_string(two.join("both")).unwrap(), "above");
        assert!(fixture.store.rootfs_usage("one").unwrap().inodes > 0);
        // The layers stay while a container stands on them, even when the image goes.
        assert!(fixture.store.remove(image.id.as_str()).unwrap());
        assert_eq!(std::fs::read_to_string(two.join("both")).unwrap(), "above");
        for (key, target) in [("one", &one), ("two", &two), ("two", &two)] {
            fixture.store.release_rootfs(key, target).unwrap();
        }
        assert!(!one.join("both").exists());
    });
}

#[test]
fn a_key_cannot_name_a_folder_elsewhere() {
    let fixture = Fixture::new();
    for key in ["", "..", "../x", "a/b", ".hidden"] {
        let error = fixture.store.rootfs_usage(key).unwrap_err();
        assert!(matches!(error, ImageError::Key { .. }), "{key}: {error}");
    }
}
