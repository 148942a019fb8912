#!/usr/bin/env python3
"""Makes the images that critest pulls and pushes them to a registry.

images.py REGISTRY BUSYBOX FOLDER

REGISTRY: host:port, plain HTTP, of a registry that takes pushes.
BUSYBOX:  a static busybox with all applets, whose shell runs programs and not applets.
FOLDER:   Debian packages unpacked: apache2-bin, nginx and their libraries. The C compiler makes
          what is left.

Each image is busybox with a little more. Their manifests are of all kinds there are: OCI indexes,
Docker lists, and single ones.
"""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.request

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."

PASSWD = """root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
default-user:x:1000:1000:Linux User:/home/default-user:/bin/sh
"""
GROUP = """root:x:0:
www-data:x:33:
nogroup:x:65534:
default-user:x:1000:
group-defined-in-image:x:50000:default-user
"""
NO_NEW_PRIVS = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) { printf("Effective uid: %d\n", geteuid()); return 0; }
"""
PAUSE = r"""
#include <unistd.h>
int main(void) { for (;;) pause(); }
"""
NGINX = """
daemon off;
pid /var/run/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
    access_log off;
    server { listen %d; location / { return 200 "Thank you for using nginx.\\n"; } }
}
"""
HTTPD = """
ServerRoot /
ServerName httpd
Listen 80
PidFile /tmp/httpd.pid
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
DocumentRoot /var/www
DirectoryIndex index.html
ErrorLog /dev/stderr
User www-data
Group www-data
"""


class Layer:
    """A layer under construction."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)
        self.made = set()

    def folder(self, path, mode=0o755):
        parts = path.strip("/").split("/")
        for end in range(1, len(parts) + 1):
            name = "/".join(parts[:end])
            if name and name not in self.made:
                self.made.add(name)
                entry = tarfile.TarInfo(name)
                entry.type = tarfile.DIRTYPE
                entry.mode = mode if end == len(parts) else 0o755
                self.tar.addfile(entry)

    def file(self, path, content, mode=0o644):
        self.folder(os.path.dirname(path))
        entry = tarfile.TarInfo(path.strip("/"))
        entry.mode = mode
        entry.size = len(content)
        self.tar.addfile(entry, io.BytesIO(content))

    def link(self, path, target, kind=tarfile.LNKTYPE):
        self.folder(os.path.dirname(path))
        entry = tarfile.TarInfo(path.strip("/"))
        entry.type = kind
        entry.linkname = target
        self.tar.addfile(entry)

    def copy(self, source, path):
        with open(source, "rb") as file:
            self.file(path, file.read(), os.stat(source).st_mode & 0o7777)

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def busybox(program):
    layer = Layer()
    layer.folder("tmp", 0o1777)
    for path in ["dev", "etc", "home", "proc", "root", "run", "sys", "usr", "var/run", "var/www"]:
        layer.folder(path)
    layer.file("etc/passwd", PASSWD.encode())
    layer.file("etc/group", GROUP.encode())
    layer.copy(program, "bin/busybox")
    applets = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            layer.link("bin/" + applet, "bin/busybox")
    return layer.bytes()


def compiled(source):
    with tempfile.TemporaryDirectory() as folder:
        program = folder + "/program"
        subprocess.run(["gcc", "-Os", "-static", "-o", program, "-x", "c", "-"],
                       input=source.encode(), check=True)
        with open(program, "rb") as file:
            return file.read()


def libraries(programs, folder):
    """What the dynamic linker loads for these programs, by the path it is looked for."""
    search = [folder + part for part in ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"]]
    found = {}
    for program in programs:
        listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True,
                                env={"LD_LIBRARY_PATH": ":".join(search), "PATH": os.environ["PATH"]})
        assert "not found" not in listed.stdout, listed.stdout
        for line in listed.stdout.splitlines():
            path = re.search(r"(/\S+) \(0x", line)
            if path:
                found[os.path.basename(path[1])] = os.path.realpath(path[1])
    return found


def with_libraries(layer, programs, folder):
    for name, source in libraries(programs, folder).items():
        where = "lib64/" if name.startswith("ld-linux") else "usr/lib/x86_64-linux-gnu/"
        layer.copy(source, where + name)
    layer.link("lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", tarfile.SYMTYPE)


def nginx(folder, port):
    layer = Layer()
    program = folder + "/usr/sbin/nginx"
    layer.copy(program, "usr/sbin/nginx")
    with_libraries(layer, [program], folder)
    layer.file("etc/nginx/nginx.conf", (NGINX % port).encode())
    for path in ["var/run", "var/log/nginx", "var/lib/nginx/body"]:
        layer.folder(path)
    return layer.bytes()


def httpd(folder):
    layer = Layer()
    # It calls itself by this name in what it prints.
    program = folder + "/usr/sbin/apache2"
    layer.copy(program, "usr/sbin/httpd")
    modules = [folder + "/usr/lib/apache2/modules/mod_%s.so" % name
               for name in ["mpm_event", "authz_core", "dir"]]
    for module in modules:
        layer.copy(module, "usr/lib/apache2/modules/" + os.path.basename(module))
    with_libraries(layer, [program] + modules, folder)
    # Opened by the C library when a thread ends.
    layer.copy("/lib/x86_64-linux-gnu/libgcc_s.so.1", "usr/lib/x86_64-linux-gnu/libgcc_s.so.1")
    layer.file("etc/httpd.conf", HTTPD.encode())
    layer.file("var/www/index.html", b"It works: httpd\n")
    layer.folder("run/apache2")
    return layer.bytes()


class Registry:
    def __init__(self, address):
        self.base = "http://%s/v2/" % address

    def call(self, method, url, body=None, **headers):
        request = urllib.request.Request(url, data=body, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers

    def blob(self, repository, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        started = self.call("POST", self.base + repository + "/blobs/uploads/", b"")
        where = started["Location"]
        where += ("&" if "?" in where else "?") + "digest=" + digest
        self.call("PUT", where, content, Content_Type="application/octet-stream")
        return {"digest": digest, "size": len(content)}

    def manifest(self, repository, name, document):
        body = json.dumps(document).encode()
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        url = self.base + repository + "/manifests/" + (name or digest)
        self.call("PUT", url, body, Content_Type=document["mediaType"])
        return {"mediaType": document["mediaType"], "digest": digest, "size": len(body)}

    def image(self, repository, tag, layers, kind="oci index", **config):
        docker = kind != "oci index"
        document = {
            "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
            # The label keeps images apart that are else the same.
            "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                       "Labels": {"repository": repository}, **config},
            "rootfs": {"type": "layers", "diff_ids": [
                "sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]},
        }
        packed = [self.blob(repository, gzip.compress(layer, 1, mtime=0)) for layer in layers]
        media = DOCKER + "image.rootfs.diff.tar.gzip" if docker else OCI + "layer.v1.tar+gzip"
        manifest = {
            "schemaVersion": 2,
            "mediaType": DOCKER + "distribution.manifest.v2+json" if docker
                         else OCI + "manifest.v1+json",
            "config": {
                "mediaType": DOCKER + "container.image.v1+json" if docker
                             else OCI + "config.v1+json",
                **self.blob(repository, json.dumps(document).encode())},
            "layers": [{"mediaType": media, **layer} for layer in packed],
        }
        if kind == "docker manifest":
            self.manifest(repository, tag, manifest)
            return
        descriptor = self.manifest(repository, None, manifest)
        descriptor["platform"] = {"architecture": "amd64", "os": "linux"}
        self.manifest(repository, tag, {
            "schemaVersion": 2,
            "mediaType": DOCKER + "distribution.manifest.list.v2+json" if docker
                         else OCI + "index.v1+json",
            "manifests": [descriptor],
        })


def main():
    address, program, folder = sys.argv[1:]
    registry = Registry(address)
    base = busybox(program)

    def more(**files):
        layer = Layer()
        for path, (content, mode) in files.items():
            layer.file(path, content, mode)
        return layer.bytes()

    e2e, tools = "e2e-test-images/", "k8s-staging-cri-tools/"
    registry.image(e2e + "busybox", "1.29-2", [base], "docker list", Cmd=["sh"])
    web = ["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"]
    registry.image(e2e + "nginx", "1.14-2", [base, nginx(folder, 80)], Entrypoint=web)
    registry.image(tools + "hostnet-nginx-amd64", "latest", [base, nginx(folder, 12003)],
                   "docker list", Entrypoint=web)
    registry.image(e2e + "httpd", "2.4.39-4", [base, httpd(folder)],
                   Entrypoint=["/usr/sbin/httpd", "-f", "/etc/httpd.conf", "-DFOREGROUND"])
    setuid = more(nnp=(compiled(NO_NEW_PRIVS), 0o4755))
    registry.image(e2e + "nonewprivs", "1.3", [base, setuid], "docker manifest",
                   Entrypoint=["/nnp"])
    registry.image("pause", "3.9", [more(pause=(compiled(PAUSE), 0o755))], Entrypoint=["/pause"])
    for name, user in [("user-uid", "1002"), ("user-username", "www-data"),
                       ("user-uid-group", "1003:1004"), ("user-username-group", "www-data:1004"),
                       ("predefined-group", "1000")]:
        registry.image(tools + "test-image-" + name, "latest", [base], User=user, Cmd=["sh"])
    for number in "123":
        own = more(number=(number.encode(), 0o644))
        registry.image(tools + "test-image-" + number, "latest", [base, own], Cmd=["sh"])
        registry.image(tools + "test-image-tags", number, [base], "docker manifest", Cmd=["sh"])
    registry.image(tools + "test-image-latest", "latest", [base], Cmd=["sh"])
    for tag in ["test", "all"]:
        own = more(tag=(tag.encode(), 0o644))
        registry.image(tools + "test-image-tag", tag, [base, own], Cmd=["sh"])


main()
