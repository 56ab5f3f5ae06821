//! Builds of OpenSSL what SQLCipher calls: AES, HMAC, SHA-2, key derivation, random numbers.
//!
//! The rest of it, TLS above all, is left out: TLS is ring's here, and a program holds no second one that would have to be patched
//! when a fault is found in it. It is also the longest chain of a first build, since SQLCipher waits for it. The sources are those
//! that `openssl-src` carries; libsqlite3-sys finds this crate under the name of `openssl-sys`, which it would build whole.
//!
//! Rejected: the LibTomCrypt that comes with SQLCipher, whose AES does not use the processor's; the system's libcrypto, which is
//! another on every computer.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Parts that can be left out, and are.
const LEFT_OUT: &str = "apps aria argon2 async autoload-config bf blake2 camellia cast chacha cmac cmp cms comp ct des deprecated dh docs \
    dsa dso dtls ec engine gost http idea legacy lms md4 mdc2 ml-dsa ml-kem module ocb ocsp poly1305 psk quic rc2 rc4 rfc3779 rmd160 \
    scrypt seed shared siphash siv slh-dsa sm2 sm3 sm4 sock srp ssl tests tls ts ui-console whirlpool zlib";

fn main() -> Result<(), String> {
    let sources = openssl_src::source_dir();
    let build = PathBuf::from(variable("OUT_DIR")?).join("build");
    fs::create_dir_all(&build).map_err(|error| error.to_string())?;

    let compiler = cc::Build::new().opt_level(2).warnings(false).get_compiler();
    let mut configure = Command::new("perl");
    configure
        .arg(sources.join("Configure"))
        .arg(platform()?)
        .args(LEFT_OUT.split_whitespace().map(|part| format!("no-{part}")))
        .args(compiler.args())
        .env("CC", compiler.path());
    run(&mut configure, &build)?;
    for goal in ["build_generated", "libcrypto.a"] {
        let jobs = env::var_os("CARGO_MAKEFLAGS").unwrap_or_default();
        run(
            Command::new("make").arg(goal).env("MAKEFLAGS", jobs),
            &build,
        )?;
    }

    // The headers that were made lie here, the others with the sources; SQLCipher looks in one place.
    let headers = build.join("include");
    copy(&sources.join("include/openssl"), &headers.join("openssl"))
        .map_err(|error| error.to_string())?;
    println!("cargo::metadata=include={}", headers.display());
    println!("cargo::rustc-link-search=native={}", build.display());
    println!("cargo::rustc-link-lib=static=crypto");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

/// What OpenSSL calls the computer that is built for.
fn platform() -> Result<&'static str, String> {
    Ok(match variable("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "aarch64" => "linux-aarch64",
        "arm" => "linux-armv4",
        "loongarch64" => "linux64-loongarch64",
        "riscv64" => "linux64-riscv64",
        "x86_64" => "linux-x86_64",
        _ if variable("CARGO_CFG_TARGET_POINTER_WIDTH")? == "32" => "linux-generic32",
        _ => "linux-generic64",
    })
}

fn run(command: &mut Command, directory: &Path) -> Result<(), String> {
    let done = command.current_dir(directory).output();
    let done = done.map_err(|error| format!("{command:?} cannot be run: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("{command:?} has failed: {said}"))
}

/// Copies what is not there yet.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for file in fs::read_dir(from)? {
        let file = file?;
        let there = to.join(file.file_name());
        if !there.exists() {
            fs::copy(file.path(), there)?;
        }
    }
    Ok(())
}
