//! Replays the committed corpora of the fuzz targets through the targets' own functions.

#[cfg(test)]
#[expect(
    unreachable_pub,
    reason = "the same files are the library of the fuzz targets"
)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[cfg(test)]
mod replay {
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use super::targets::TARGETS;

    fn corpus() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
    }

    fn entries(directory: &Path) -> Vec<PathBuf> {
        let mut entries: Vec<PathBuf> = fs::read_dir(directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        entries
    }

    #[test]
    fn every_target_has_a_corpus_and_every_corpus_a_target() {
        let targets: BTreeSet<PathBuf> = TARGETS
            .iter()
            .map(|(name, _)| corpus().join(name))
            .collect();
        assert_eq!(
            entries(&corpus()).into_iter().collect::<BTreeSet<_>>(),
            targets
        );
        for directory in targets {
            assert!(
                !entries(&directory).is_empty(),
                "{} is empty",
                directory.display()
            );
        }
    }

    #[test]
    fn every_input_passes_its_target() {
        let mut failed = Vec::new();
        for (name, run) in TARGETS {
            for path in entries(&corpus().join(name)) {
                let octets = fs::read(&path).unwrap();
                if catch_unwind(|| run(&octets)).is_err() {
                    failed.push(path);
                }
            }
        }
        assert!(failed.is_empty(), "failed: {failed:#?}");
    }
}
