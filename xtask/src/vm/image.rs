//! What a machine boots from: Debian's kernel, a RAM disk with the agent, a root file system.
//!
//! All is kept in `target/vm` and made anew when what it is made from changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use cpio::newc::{Builder, trailer};

use super::quietly;
use crate::say;

const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
const SUITE: &str = "bookworm";
const PACKAGES: &str = "kmod,iproute2";
const ROOT_MIB: u32 = 2048;

/// Drivers that must be there before the root is; with them come those that they need.
const EARLY_MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "virtio_console", "squashfs"];

/// The files that QEMU is given.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) root: PathBuf,
}

/// Makes what is missing.
pub(crate) fn prepare(folder: &Path, agent: &Path) -> Result<Images> {
    let package = kernel_package()?;
    let unpacked = folder.join(&package);
    if !unpacked.exists() {
        say::step(&format!("fetching {package}"));
        fetch_kernel(folder, &package, &unpacked)?;
    }
    let kernel = folder.join(format!("{package}.elf"));
    if !kernel.exists() {
        extract_kernel(&unpacked, &kernel)?;
    }
    let initrd = folder.join("initrd");
    write_initrd(&unpacked, agent, &initrd).context("write the RAM disk")?;
    let root = folder.join(format!("{package}.{SUITE}.ext4"));
    if !root.exists() {
        say::step("building the machine's root file system");
        build_root(folder, &unpacked, &root)?;
    }
    Ok(Images { kernel, initrd, root })
}

/// The package that the meta package stands for now.
fn kernel_package() -> Result<String> {
    let output = Command::new("apt-cache").args(["depends", KERNEL_PACKAGE]).output();
    let output = output.context("start apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let package = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = package.with_context(|| {
        format!("apt-cache does not know {KERNEL_PACKAGE}; apt-get update may help")
    })?;
    Ok(package.trim().to_owned())
}

fn fetch_kernel(folder: &Path, package: &str, unpacked: &Path) -> Result<()> {
    let new = folder.join("kernel.new");
    remove_tree(&new)?;
    fs::create_dir_all(&new)?;
    quietly(Command::new("apt-get").args(["download", "-q", package]).current_dir(&new))?;
    let archive = fs::read_dir(&new)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get left no package")?;
    let files = new.join("files");
    quietly(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&files))?;
    let release = release(&files)?;
    quietly(Command::new("depmod").arg("-b").arg(&files).arg(&release))?;
    fs::rename(&files, unpacked).context("keep the kernel")?;
    remove_tree(&new)
}

fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn release(unpacked: &Path) -> Result<String> {
    let modules = unpacked.join("lib/modules");
    let entry = fs::read_dir(&modules)?.next().context("the package has no modules")??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

/// Takes the compressed ELF out of the boot image: emulated, decompressing would take longer
/// than the rest of the boot.
fn extract_kernel(unpacked: &Path, target: &Path) -> Result<()> {
    /// What an LZ4 frame of the legacy format begins with.
    const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
    let image = unpacked.join("boot").join(format!("vmlinuz-{}", release(unpacked)?));
    let bytes = fs::read(&image).with_context(|| format!("read {}", image.display()))?;
    let start = bytes.windows(4).position(|window| window == MAGIC);
    let Some(start) = start else { bail!("{} holds no LZ4 data", image.display()) };
    let compressed = target.with_extension("lz4");
    fs::write(&compressed, &bytes[start..])?;
    // What follows the frame is not LZ4: lz4 says so and fails after all is written.
    let output = Command::new("lz4").args(["-d", "-f", "-q"]).arg(&compressed).arg(target).output();
    let output = output.context("start lz4")?;
    let elf = fs::read(target).unwrap_or_default();
    if !elf.starts_with(b"\x7fELF") {
        bail!("{}: {}", image.display(), String::from_utf8_lossy(&output.stderr));
    }
    fs::remove_file(&compressed).context("remove the compressed kernel")
}

fn write_initrd(unpacked: &Path, agent: &Path, target: &Path) -> Result<()> {
    let mut archive = Vec::new();
    let mut inode = 0;
    let mut add = |name: &str, mode: u32, content: &[u8]| -> Result<()> {
        inode += 1;
        let length = u32::try_from(content.len()).context("a file for the RAM disk is too long")?;
        let mut file =
            Builder::new(name).ino(inode).mode(mode).nlink(1).write(&mut archive, length);
        std::io::Write::write_all(&mut file, content)?;
        file.finish()?;
        Ok(())
    };
    for folder in ["dev", "root", "modules"] {
        add(folder, 0o040_755, &[])?;
    }
    add("init", 0o100_755, &fs::read(agent)?)?;
    let modules = unpacked.join("lib/modules").join(release(unpacked)?);
    let dependencies = fs::read_to_string(modules.join("modules.dep"))?;
    let mut order = String::new();
    for path in load_order(&dependencies) {
        let name = path.rsplit('/').next().unwrap_or(path);
        add(&format!("modules/{name}"), 0o100_644, &fs::read(modules.join(path))?)?;
        order.push_str(name);
        order.push('\n');
    }
    add("modules/order", 0o100_644, order.as_bytes())?;
    trailer(&mut archive)?;
    fs::write(target, archive)?;
    Ok(())
}

/// The early modules' files, each after those that it needs. A line of modules.dep is
/// `module: needed…`, where what is needed last is to be loaded first (depmod(8)). A module that
/// is built in has no line.
fn load_order(dependencies: &str) -> Vec<&str> {
    let mut order = Vec::new();
    for name in EARLY_MODULES {
        let file = format!("/{name}.ko");
        let line = dependencies.lines().filter_map(|line| line.split_once(':'));
        let Some((module, needed)) = line.into_iter().find(|(module, _)| module.ends_with(&file))
        else {
            continue;
        };
        for path in needed.split_whitespace().rev().chain([module]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    order
}

fn build_root(folder: &Path, unpacked: &Path, target: &Path) -> Result<()> {
    let tree = folder.join("root");
    remove_tree(&tree)?;
    let mut build = Command::new("mmdebstrap");
    build.args(["--mode=root", "--variant=minbase", "--format=directory", "--quiet"]);
    build.arg(format!("--include={PACKAGES}"));
    for unneeded in ["doc", "locale", "man", "info"] {
        build.arg(format!("--dpkgopt=path-exclude=/usr/share/{unneeded}/*"));
    }
    build.arg(SUITE).arg(&tree);
    for sources in apt_sources()? {
        build.arg(sources);
    }
    quietly(&mut build)?;
    let modules = tree.join("usr/lib/modules");
    fs::create_dir_all(&modules)?;
    let from = unpacked.join("lib/modules").join(release(unpacked)?);
    quietly(Command::new("cp").arg("-a").arg(&from).arg(&modules))?;
    let new = target.with_extension("new");
    let size = format!("{ROOT_MIB}M");
    quietly(Command::new("mkfs.ext4").args(["-q", "-F", "-d"]).arg(&tree).arg(&new).arg(&size))?;
    fs::rename(&new, target).context("keep the root file system")?;
    remove_tree(&tree)
}

/// Where this machine gets its packages from, the machine made from it does too.
fn apt_sources() -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    let list = PathBuf::from("/etc/apt/sources.list");
    if fs::read_to_string(&list).is_ok_and(|text| text.contains("deb ")) {
        sources.push(list);
    }
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten() {
        let path = entry.context("list the sources of packages")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("debian") && (name.ends_with(".sources") || name.ends_with(".list")) {
            sources.push(path);
        }
    }
    Ok(sources)
}

/// The programs as a read-only file system; not compressed, for the emulated side's sake.
pub(crate) fn payload(
    folder: &Path,
    binaries: &Path,
    demo_image: &Path,
    extra: &[PathBuf],
) -> Result<PathBuf> {
    let tree = folder.join("payload");
    remove_tree(&tree)?;
    fs::create_dir_all(tree.join("bin"))?;
    for name in ["corten", "corten-run", "corten-cni"] {
        fs::copy(binaries.join(name), tree.join("bin").join(name))
            .with_context(|| format!("copy {name}"))?;
    }
    for program in extra {
        let name = program.file_name().context("a program has a name")?;
        fs::copy(program, tree.join("bin").join(name))
            .with_context(|| format!("copy {}", program.display()))?;
    }
    quietly(Command::new("cp").arg("-a").arg(demo_image).arg(tree.join("image")))?;
    let examples = crate::cargo::root().join("examples");
    quietly(Command::new("cp").arg("-a").arg(examples).arg(tree.join("examples")))?;
    let target = folder.join("payload.squashfs");
    quietly(Command::new("mksquashfs").arg(&tree).arg(&target).args([
        "-noI",
        "-noD",
        "-noF",
        "-noX",
        "-noappend",
        "-quiet",
        "-no-progress",
    ]))?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_loaded_after_those_that_it_needs() {
        let dependencies = "k/virtio_blk.ko: k/virtio.ko k/virtio_ring.ko\n\
                            k/virtio.ko: k/virtio_ring.ko\n\
                            k/virtio_ring.ko:\n";
        let order = load_order(dependencies);
        assert_eq!(order, ["k/virtio_ring.ko", "k/virtio.ko", "k/virtio_blk.ko"]);
    }
}
