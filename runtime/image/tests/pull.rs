//! Pulling, from a registry on loopback that the tests serve themselves.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test code")]

mod layout;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use corten_runtime_image::{Config, ImageError, ImageStore, Reference};
use corten_tests_harness::{is_root, skip_unless};

const NEEDS_ROOT: &str = "layers are unpacked with the owners they name, which needs root";

/// Answers GET and HEAD for the paths it was given (OCI distribution spec, "Pull").
struct Registry {
    address: SocketAddr,
    blobs_served: Arc<AtomicUsize>,
}

impl Registry {
    fn serve(image: &layout::Image) -> Self {
        let mut answers = HashMap::new();
        answers.insert("/v2/".to_owned(), Vec::new());
        answers.insert("/v2/app/manifests/1".to_owned(), image.manifest_text.clone());
        for (digest, blob) in &image.blobs {
            answers.insert(format!("/v2/app/blobs/{digest}"), blob.clone());
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let blobs_served = Arc::new(AtomicUsize::new(0));
        let served = Arc::clone(&blobs_served);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, served) = (answers.clone(), Arc::clone(&served));
                std::thread::spawn(move || answer(&stream, &answers, &served));
            }
        });
        Self { address, blobs_served }
    }

    fn name(&self, tag: &str) -> Reference {
        Reference::parse(&format!("{}/app:{tag}", self.address)).unwrap()
    }
}

fn answer(stream: &TcpStream, answers: &HashMap<String, Vec<u8>>, served: &AtomicUsize) {
    let mut requests = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut header = String::from("-");
        while !header.trim().is_empty() {
            header.clear();
            requests.read_line(&mut header).unwrap();
        }
        let path = line.split(' ').nth(1).unwrap();
        served.fetch_add(usize::from(path.contains("/blobs/")), Ordering::Relaxed);
        let (status, body) = match answers.get(path) {
            Some(body) => ("200 OK", body.as_slice()),
            None => ("404 Not Found", &b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}"[..]),
        };
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let length = body.len();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        )
        .unwrap();
        if !line.starts_with("HEAD") {
            stream.write_all(body).unwrap();
        }
    }
}

fn store(registry: &Registry) -> (tempfile::TempDir, ImageStore) {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let config = Config { plain_http: vec![registry.address.to_string()], ..Config::default() };
    let store = ImageStore::open(folder.path(), config).unwrap();
    (folder, store)
}

fn image() -> layout::Image {
    let layers: Vec<_> =
        (0..6).map(|n| layout::tar(&[(&format!("file-{n}"), &n.to_string())])).collect();
    layout::image(&layers, "/file-0")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_once_however_many_ask() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let image = image();
    let registry = Registry::serve(&image);
    let (_folder, store) = store(&registry);
    let name = registry.name("1");
    let pulls = futures::future::join_all((0..4).map(|_| store.pull(&name, None))).await;
    for pulled in pulls {
        let pulled = pulled.unwrap();
        assert_eq!(pulled.id, image.id);
        assert_eq!(pulled.repo_tags, [name.canonical()]);
    }
    // Six layers once; the configuration with each pull.
    assert_eq!(registry.blobs_served.load(Ordering::Relaxed), 6 + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_tampers_with_a_layer_is_caught() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let mut image = image();
    image.blobs[2].1 = image.blobs[3].1.clone();
    let registry = Registry::serve(&image);
    let (_folder, store) = store(&registry);
    store.pull(&registry.name("1"), None).await.unwrap_err();
    assert!(store.list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_is_told_from_a_registry_out_of_reach() {
    skip_unless!(is_root(), NEEDS_ROOT);
    let registry = Registry::serve(&image());
    let (_folder, store) = store(&registry);
    let missing = store.pull(&registry.name("2"), None).await.unwrap_err();
    assert!(matches!(missing, ImageError::NotFound { .. }), "{missing:?}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = Reference::parse(&format!("{nobody}/app:1")).unwrap();
    let unreachable = store.pull(&nowhere, None).await.unwrap_err();
    assert!(matches!(unreachable, ImageError::Registry { .. }), "{unreachable:?}");
}
