//! The hunt: mutates what is known, gives it to a target, keeps what is answered in a way not seen before.
//!
//! It does not see which lines of a parser ran, only how it answered; libFuzzer (`fuzz/`) sees more. What it needs is the
//! stable toolchain alone.

use std::{
    collections::BTreeSet,
    panic::{self, AssertUnwindSafe},
};

use crate::{
    Target,
    mutate::{Numbers, mutated},
};

/// Most inputs that are kept for mutation, the seeds among them.
const MAX_KEPT: usize = 4096;
/// Most different answers that are remembered; a target whose answers depend on its input's contents would fill the memory.
const MAX_ANSWERS: usize = 65_536;

/// What a hunt has done so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Inputs that the target was given.
    pub executions: u64,
    /// Different answers that it gave.
    pub answers: usize,
}

/// An input that breaks a promise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The input.
    pub input: Vec<u8>,
    /// What the target said when it panicked.
    pub message: String,
}

/// One target being hunted.
pub struct Pursuit {
    target: Target,
    numbers: Numbers,
    kept: Vec<Vec<u8>>,
    answers: BTreeSet<String>,
    executions: u64,
}

impl Pursuit {
    /// Starts from these inputs.
    #[must_use]
    pub fn new(target: Target, seeds: Vec<Vec<u8>>, seed: u64) -> Self {
        Self { target, numbers: Numbers::seeded(seed), kept: seeds, answers: BTreeSet::new(), executions: 0 }
    }

    /// Gives the target one input as it is.
    ///
    /// # Errors
    /// The finding, if it panics.
    pub fn give(&mut self, input: &[u8]) -> Result<bool, Finding> {
        self.executions += 1;
        let run = self.target.run;
        match panic::catch_unwind(AssertUnwindSafe(|| run(input))) {
            Ok(answer) => Ok(self.answers.len() < MAX_ANSWERS && self.answers.insert(answer)),
            Err(payload) => {
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
                Err(Finding { input: input.to_vec(), message: text.unwrap_or("it panicked").to_owned() })
            }
        }
    }

    /// Mutates and gives, this many times.
    ///
    /// # Errors
    /// The first finding.
    pub fn hunt(&mut self, executions: u64) -> Result<(), Finding> {
        for _ in 0..executions {
            let seed = self.numbers.pick(&self.kept).cloned().unwrap_or_default();
            let input = mutated(&seed, &self.kept, self.target.words, &mut self.numbers);
            if self.give(&input)? && self.kept.len() < MAX_KEPT {
                self.kept.push(input);
            }
        }
        Ok(())
    }

    /// Whether some input was answered with these words.
    #[must_use]
    pub fn has_heard(&self, words: &str) -> bool {
        self.answers.iter().any(|answer| answer.contains(words))
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally { executions: self.executions, answers: self.answers.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks when it is given `{` twice in a row after a word that only the dictionary has.
    const BRITTLE: Target = Target {
        name: "brittle",
        deep: "",
        run: |data| {
            let text = String::from_utf8_lossy(data);
            assert!(!(text.contains("open") && text.contains("{{")), "both braces");
            format!("{} {}", text.contains("open"), text.contains("{{"))
        },
        words: &["open"],
    };

    #[test]
    fn a_hunt_finds_what_is_there_to_be_found() {
        let mut pursuit = Pursuit::new(BRITTLE, vec![b"a{b{c".to_vec()], 5);
        let finding = pursuit.hunt(200_000).unwrap_err();
        assert_eq!(finding.message, "both braces");
        assert!(panic::catch_unwind(|| (BRITTLE.run)(&finding.input)).is_err(), "the input shows it again");
        assert!(pursuit.tally().answers >= 2, "{:?}", pursuit.tally());
    }

    #[test]
    fn a_target_that_holds_is_given_as_many_inputs_as_asked_for() {
        let sound = Target { name: "sound", deep: "", run: |data| data.len().min(9).to_string(), words: &[] };
        let mut pursuit = Pursuit::new(sound, vec![Vec::new()], 5);
        assert_eq!(pursuit.hunt(1000), Ok(()));
        assert_eq!(pursuit.tally(), Tally { executions: 1000, answers: 10 });
    }
}
