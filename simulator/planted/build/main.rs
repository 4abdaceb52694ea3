//! Copies the protocols and makes each copy wrong in one small way, for what no rewriting of effects
//! can express. The protocols themselves hold no switch for being wrong.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

mod patch;

use patch::{Patch, relocate, without_documents, without_tests};

/// A copy of a crate with a mistake in it.
struct Copy {
    /// The crate's folder, beside the other rooms.
    room: &'static str,
    /// The module that the copy becomes.
    module: &'static str,
    /// The mistake.
    patch: Patch,
}

const COPIES: [Copy; 4] = [
    Copy {
        room: "consensus-raft",
        module: "raft_commits_on_a_minority",
        patch: Patch {
            file: "replication.rs",
            right: "configuration.reached(|voter| leader.matched_of(voter, me))",
            wrong: "consensus_core::quorum::reached_by(
                configuration.voters.iter().map(|&voter| leader.matched_of(voter, me)),
                consensus_core::quorum::majority(configuration.voters.len()) - 1,
            )",
        },
    },
    Copy {
        room: "consensus-multipaxos",
        module: "multipaxos_commits_on_a_minority",
        patch: Patch {
            file: "membership.rs",
            right: "bits.count_ones() as usize >= self.quorum()",
            wrong: "bits.count_ones() as usize >= self.quorum() - 1",
        },
    },
    Copy {
        room: "consensus-raft",
        module: "raft_reads_while_deposed",
        patch: Patch {
            file: "reads.rs",
            right: "configuration.reached(|voter| leader.read_acked_of(voter, me))",
            wrong: "configuration.reached(|voter| leader.reads.last().max(leader.read_acked_of(voter, me)))",
        },
    },
    Copy {
        room: "consensus-multipaxos",
        module: "multipaxos_reads_while_deposed",
        patch: Patch {
            file: "reads.rs",
            right: "peer(node).map_or(own, |peer| peer.read_acked)",
            wrong: "peer(node).map_or(own, |_| own)",
        },
    },
];

fn main() {
    let rooms = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(variable("OUT_DIR"));
    let mut modules = String::new();
    for copy in &COPIES {
        let (from, to) = (rooms.join(copy.room).join("src"), out.join(copy.module));
        println!("cargo::rerun-if-changed={}", from.display());
        // What an earlier version of the crate left must not be compiled again.
        let _ = fs::remove_dir_all(&to);
        let applied = copy_folder(&from, Path::new(""), &to, copy);
        let applied = applied.unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        assert_eq!(applied, 1, "{}: there is no {}", from.display(), copy.patch.file);
        let path = to.join("lib.rs");
        modules += &format!("#[allow(dead_code)]\n#[path = {path:?}]\npub mod {};\n", copy.module);
    }
    fs::write(out.join("patched.rs"), modules).expect("the build's own folder can be written");
    println!("cargo::rerun-if-changed=build");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Copies a folder below the crate's `src`; says how many files were patched.
fn copy_folder(from: &Path, below: &Path, to: &Path, copy: &Copy) -> io::Result<usize> {
    fs::create_dir_all(to.join(below))?;
    let mut patched = 0;
    for item in fs::read_dir(from.join(below))? {
        let item = item?;
        let file = below.join(item.file_name());
        if item.file_type()?.is_dir() {
            patched += copy_folder(from, &file, to, copy)?;
            continue;
        }
        let mut source = without_documents(without_tests(&fs::read_to_string(item.path())?));
        if file == Path::new(copy.patch.file) {
            source =
                copy.patch.apply(&source).unwrap_or_else(|why| panic!("{}: {why}", copy.module));
            patched += 1;
        }
        fs::write(to.join(&file), relocate(&source, &format!("patched::{}", copy.module)))?;
    }
    Ok(patched)
}
