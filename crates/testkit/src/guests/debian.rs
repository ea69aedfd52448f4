//! Building handlers with what Debian has, for machines where rustup cannot download.
//!
//! Debian packages a recent compiler with the source of its standard library (`rustc-web`, kept up to
//! date for the browsers) and a C library for WASI. They are unpacked into a folder and used from
//! there: nothing is installed and nobody needs to be root. Debian has the standard library for no
//! WASI target, so cargo builds it from the source, which must be of the compiler's own version.
//! The linkers have to come with the installed Rust.
//!
//! The C library is older than sockets in WASI: a handler that uses `std::net` does not link here.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// Whether this is a system with apt.
pub(super) fn has_apt() -> bool {
    let mut apt = Command::new("apt-get");
    apt.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    apt.status().is_ok_and(|status| status.success())
}

/// Downloads the packages (140 MB) and unpacks them (850 MB) into the folder `unpacked`, which
/// appears when it is whole.
pub(super) fn unpack(unpacked: &Path) -> Result<()> {
    let std = match dependency("libstd-rust-web-dev", "libstd-rust-web-") {
        Ok(std) => std,
        Err(_) => {
            update_lists()?;
            dependency("libstd-rust-web-dev", "libstd-rust-web-")?
        }
    };
    let llvm = dependency(&std, "libllvm")?;
    let parent = unpacked.parent().context("the toolchain's folder has no parent")?;
    // On the same file system as the final place, so that renaming is one step; removed on failure.
    let partial = tempfile::Builder::new()
        .prefix("guest-toolchain-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a folder in {}", parent.display()))?;
    let packages = ["rustc-web", "libstd-rust-web-dev", "rust-web-src", "wasi-libc", &std, &llvm];
    run(Command::new("apt-get")
        .args(["--quiet", "download"])
        .args(packages)
        .current_dir(&partial))?;
    for file in fs::read_dir(&partial)?.collect::<Result<Vec<_>, _>>()? {
        run(Command::new("dpkg").arg("--extract").arg(file.path()).arg(partial.path()))?;
        fs::remove_file(file.path())?;
    }
    fs::rename(partial.path(), unpacked)
        .with_context(|| format!("cannot move the toolchain to {}", unpacked.display()))
}

/// The folder of the programs that link for WebAssembly, in the installed Rust at `sysroot`.
pub(super) fn linkers(sysroot: &Path) -> Result<PathBuf> {
    let linkers = sysroot.join(format!("lib/rustlib/{ARCH}-unknown-linux-gnu/bin"));
    ensure!(
        linkers.join("wasm-component-ld").is_file(),
        "there is no wasm-component-ld in {}: install Rust with rustup",
        linkers.display()
    );
    Ok(linkers)
}

/// Makes `cargo` use the compiler in `unpacked` and build the standard library with it.
pub(super) fn set_up(cargo: &mut Command, unpacked: &Path, linkers: &Path) {
    let flags = [
        // Debian has no start-up objects for WASI; a component that is a library needs none.
        "-Clink-self-contained=no".to_owned(),
        format!("-Lnative={}/usr/lib/wasm32-wasi", unpacked.display()),
        format!("-Clink-arg=--wasm-ld-path={}/gcc-ld/wasm-ld", linkers.display()),
    ];
    cargo
        .env("RUSTC", unpacked.join("usr/bin/rustc"))
        .env("LD_LIBRARY_PATH", unpacked.join(format!("usr/lib/{ARCH}-linux-gnu")))
        // Building the standard library is an unstable option.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_WASIP2_LINKER", linkers.join("wasm-component-ld"))
        .env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", flags.join(" "))
        .arg("-Zbuild-std=std,panic_abort");
}

/// The package that `package` depends on and whose name starts with `prefix`: such names end in a
/// version.
fn dependency(package: &str, prefix: &str) -> Result<String> {
    let output = Command::new("apt-cache")
        .args(["depends", package])
        .env("LC_ALL", "C")
        .stderr(Stdio::null())
        .output()
        .context("cannot run apt-cache")?;
    let lines = String::from_utf8_lossy(&output.stdout);
    lines
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .with_context(|| format!("apt knows no package {package}: Debian 12 or later has it"))
}

fn update_lists() -> Result<()> {
    if run(Command::new("apt-get").args(["--quiet", "update"])).is_err() {
        bail!("apt has no package lists and cannot fetch them: run `sudo apt-get update`");
    }
    Ok(())
}

/// Runs `command` to success, with what it prints on stderr.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status =
        command.stdout(std::io::stderr()).status().with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name} failed ({status}): see its messages above");
    Ok(())
}
