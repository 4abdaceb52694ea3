//! A fingerprint of everything about a schedule that is decided before a run.

use std::{fmt::Write as _, time::Duration};

use consensus_core::Draw;
use sha2::{Digest as _, Sha256};

use super::{Schedule, Step};
use crate::duration;

impl Schedule {
    /// The digest, in hexadecimal, of the symbolic schedule and of what the seed draws for it. It
    /// names no protocol and nothing that a protocol decides, so runs that show the same digest met
    /// the same faults.
    pub fn digest(&self, seed: u64) -> String {
        let silent = Self { description: String::new(), ..self.clone() };
        let mut text = format!("schedule 1\n{}\nseed = {seed}\n", silent.to_toml());
        for step in &self.steps {
            for trial in 1..=step.times() {
                let jitter = duration::format(step.jitter(seed, trial));
                let choice = step.draw(seed, trial).of("target").bits();
                writeln!(text, "{} {trial} {jitter} {choice:016x}", step.id)
                    .expect("a string can always be written to");
            }
        }
        Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string can always be written to");
            hex
        })
    }
}

impl Step {
    /// The root of all draws for a trial, from 1: what is drawn below it depends on nothing else.
    pub(crate) fn draw(&self, seed: u64, trial: u32) -> Draw {
        Draw::new(seed).of("step").of(&self.id).at(u64::from(trial))
    }

    /// How much later than written a trial is planned.
    pub(crate) fn jitter(&self, seed: u64, trial: u32) -> Duration {
        self.draw(seed, trial).of("jitter").duration(&(Duration::ZERO..self.at.jitter))
    }
}
