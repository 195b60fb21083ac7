//! The committed corpora, and a short hunt from them that is the same in every run.

use dizzy_fuzz::{TARGETS, corpus, pursuit::Pursuit};

/// Mutations per target: a second or two of a debug build. `cargo xtask fuzz` is for more.
const MUTATIONS: u64 = 3000;

#[test]
fn every_target_bears_its_corpus_and_a_short_hunt() {
    for target in TARGETS {
        let inputs = corpus::read(target.name).unwrap();
        let seeds: Vec<Vec<u8>> = inputs.iter().map(|(_, input)| input.clone()).collect();
        let mut pursuit = Pursuit::new(*target, seeds, 1);
        for (name, input) in &inputs {
            if let Err(finding) = pursuit.give(input) {
                panic!("{}/{name}: {}", target.name, finding.message);
            }
        }
        let accepted = pursuit.tally().answers;
        assert!(pursuit.has_heard(target.deep), "{}: no seed gets as far as `{}`", target.name, target.deep);
        if let Err(finding) = pursuit.hunt(MUTATIONS) {
            panic!("{}: {}\n{:?}", target.name, finding.message, String::from_utf8_lossy(&finding.input));
        }
        println!("{}: {} inputs, {:?}", target.name, inputs.len(), pursuit.tally());
        assert!(pursuit.tally().answers > accepted, "{}: no mutation was answered in another way", target.name);
    }
}

#[test]
fn every_corpus_belongs_to_a_target() {
    for entry in std::fs::read_dir(corpus::folder("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(TARGETS.iter().any(|target| target.name == name), "{name}");
    }
}
