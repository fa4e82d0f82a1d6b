//! Replays the committed fuzz corpora, so that what fuzzing once found stays found, without a nightly toolchain.

#[cfg(test)]
#[path = "../fuzz/src/lib.rs"]
#[allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "public in the crate that is fuzzed"
)]
mod targets;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::targets::TARGETS;

    #[test]
    fn every_input_of_the_corpora_keeps_the_laws() {
        for (name, run) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("fuzz/corpus")
                .join(name);
            let mut inputs = 0;
            for entry in fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            {
                run(&fs::read(entry.unwrap().path()).unwrap());
                inputs += 1;
            }
            assert!(inputs > 0, "the corpus of {name} is empty");
        }
    }

    #[test]
    fn every_target_is_fuzzed_too() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for (name, _) in TARGETS {
            assert!(
                folder.join(format!("fuzz_targets/{name}.rs")).is_file(),
                "{name}"
            );
            assert!(
                manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
                "{name}"
            );
        }
    }
}
