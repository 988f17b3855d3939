//! Computes a digest of all sources that results depend on. It becomes part of the simulator's version, so that a
//! sweep never resumes with, or merges, results of another build.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    for root in ["src", "../proto/src"] {
        println!("cargo:rerun-if-changed={root}");
        let mut files = Vec::new();
        collect(Path::new(root), &mut files)?;
        files.sort();
        for file in files {
            digest.fold(file.to_string_lossy().as_bytes());
            digest.fold(&fs::read(&file)?);
        }
    }
    println!("cargo:rustc-env=SIM_SOURCES={:016x}", digest.0);
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// FNV-1a.
struct Digest(u64);

impl Digest {
    fn fold(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
