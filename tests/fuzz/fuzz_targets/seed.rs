//! Writes the real bytes that each corpus begins with: `cargo run --bin seed` in this folder.

fn main() -> std::io::Result<()> {
    for (name, _, seeds) in lianxin_fuzz::TARGETS {
        let folder = std::path::Path::new("corpus").join(name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds().into_iter().enumerate() {
            std::fs::write(folder.join(format!("real-{number:02}")), seed)?;
        }
    }
    Ok(())
}
